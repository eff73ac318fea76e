//! hyper: collects the body, then keeps the highest head means. Says where it listens on standard error.
mod top_k;

use hyper::server::conn::AddrIncoming;
use hyper::service::{make_service_fn, service_fn};
use hyper::{Body, Method, Request, Response, Server, StatusCode};
use std::convert::Infallible;

async fn prune(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let status = |code| Response::builder().status(code).body(Body::empty()).expect("a status is an answer");
    if request.method() != Method::POST || request.uri().path() != "/prune" {
        return Ok(status(StatusCode::NOT_FOUND));
    }
    let query = request.uri().query().unwrap_or("");
    let count = query.split('&').find_map(|part| part.strip_prefix("keep_tokens=")?.parse().ok()).unwrap_or(64);
    let body = match hyper::body::to_bytes(request.into_body()).await {
        Ok(body) => body,
        Err(_) => return Ok(status(StatusCode::BAD_REQUEST)),
    };
    Ok(match top_k::answer(&body, count) {
        Some(answer) => Response::builder()
            .header("content-type", "application/json")
            .body(Body::from(answer))
            .expect("the header is valid"),
        None => status(StatusCode::BAD_REQUEST),
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As many workers as cores.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut incoming = AddrIncoming::bind(&([127, 0, 0, 1], 0).into())?;
        incoming.set_nodelay(true);
        eprintln!("listening {}", incoming.local_addr());
        let service = make_service_fn(|_| async { Ok::<_, Infallible>(service_fn(prune)) });
        Server::builder(incoming).serve(service).await?;
        Ok(())
    })
}
