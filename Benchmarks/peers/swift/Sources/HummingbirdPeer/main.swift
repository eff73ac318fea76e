// Hummingbird 2: collects the body, then keeps the highest head means. Says where it listens on standard error.
import Foundation
import Hummingbird
import Logging
import PeerWork

let router = Router()
router.post("prune") { request, _ -> Response in
  let count = request.uri.queryParameters["keep_tokens"].flatMap { Int($0) } ?? 64
  let body = try await request.body.collect(upTo: 64 << 20)
  guard let answer = body.withUnsafeReadableBytes({ TopK.answer(to: $0, keeping: count) }) else {
    throw HTTPError(.badRequest)
  }
  return Response(
    status: .ok, headers: [.contentType: "application/json"],
    body: ResponseBody(byteBuffer: ByteBuffer(string: answer)))
}

var logger = Logger(label: "hummingbird")
logger.logLevel = .error
let application = Application(
  router: router,
  configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
  onServerRunning: { channel in
    let port = channel.localAddress?.port ?? 0
    FileHandle.standardError.write(Data("listening 127.0.0.1:\(port)\n".utf8))
  },
  logger: logger)
try await application.runService()
