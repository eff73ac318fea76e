"""The two resources of the conformance cases for an ASGI server: `uvicorn echo:app`."""
BODY = b'{"attention":[0.1,0.2,0.4,0.3]}'
ALLOWED = {"/livez": ("GET", "HEAD", "OPTIONS"), "/prune": ("POST", "OPTIONS"), "*": ("OPTIONS",)}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    method, allowed = scope["method"], ALLOWED.get(scope["path"])
    # As our server does: what is refused by its head is refused before its body is asked for.
    body = b""
    if allowed and method in allowed:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
    status, text = 200, b"ok\n"
    if not allowed:
        status, text = 404, b"not found\n"
    elif method not in allowed:
        status, text = 405, b"not allowed\n"
    elif method == "OPTIONS":
        status, text = 204, b""
    elif method == "POST":
        status, text = (200, body) if body.strip() == BODY else (400, b"another body\n")
    headers = [(b"content-type", b"text/plain")]
    if status in (204, 405):
        headers.append((b"allow", ", ".join(allowed).encode()))
    if status != 204:
        headers.append((b"content-length", b"%d" % len(text)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else text})
