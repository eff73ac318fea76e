// FlyingFox: collects the body, then keeps the highest head means. Says where it listens on standard error.
import FlyingFox
import FlyingSocks
import Foundation
import PeerWork

let server = HTTPServer(
  config: HTTPServer.Configuration(address: try .inet(ip4: "127.0.0.1", port: 0), logger: .disabled))
await server.appendRoute("POST /prune") { request in
  let count = request.query.first { $0.name == "keep_tokens" }.flatMap { Int($0.value) } ?? 64
  let body = try await request.bodyData
  guard let answer = body.withUnsafeBytes({ TopK.answer(to: $0, keeping: count) }) else {
    return HTTPResponse(statusCode: .badRequest)
  }
  return HTTPResponse(
    statusCode: .ok, headers: [.contentType: "application/json"], body: Data(answer.utf8))
}
let running = Task { try await server.run() }
try await server.waitUntilListening()
if case .ip4(_, let port)? = await server.listeningAddress {
  FileHandle.standardError.write(Data("listening 127.0.0.1:\(port)\n".utf8))
}
try await running.value
