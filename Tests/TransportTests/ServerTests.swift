import ContentCodings
import HTTP1
import Testing

@testable import Transport

/// Over real sockets; every test has its own server on a port of the system's choice.
@Suite(.overEveryReadiness) struct ServerTests {
  @Test(
    "answers one request after another on one connection", arguments: [Acceptance.Execution.inline, .pooled])
  func keepAlive(execution: Acceptance.Execution) async throws {
    let server = try TestServer(execution: execution)
    let client = try server.connect()
    for index in 0..<20 {
      try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na\(index % 10)c")
      let reply = try await client.reply()
      #expect(reply.status == 200)
      #expect(reply.text == "a\(index % 10)c")
      #expect(!reply.announcesClose)
    }
    await server.stop()
  }

  @Test("answers pipelined requests in order", arguments: [Acceptance.Execution.inline, .pooled])
  func pipelining(execution: Acceptance.Execution) async throws {
    let server = try TestServer(execution: execution)
    let client = try server.connect()
    let count = 2_000
    try await client.send(
      (0..<count).map {
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \(String($0).utf8.count)\r\n\r\n\($0)"
      }
      .joined())
    for index in 0..<count { #expect(try await client.reply().text == String(index)) }
    await server.stop()
  }

  @Test("receives a large body into one reused buffer that never moves")
  func bodyAddress() async throws {
    let server = try TestServer { $0.eventLoops = 1 }
    let client = try server.connect()
    let body = [UInt8](repeating: 7, count: 1_200_000)
    for _ in 0..<5 {
      try await client.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n")
      try await client.send(body)
      #expect(try await client.reply().text == "1200000")
    }
    // Had the body been copied or moved anywhere between the socket and the responder, the pool's buffer and
    // the responder's would differ, and no second request could meet the first one's address.
    #expect(Set(server.responder.bodyAddresses).count == 1)
    #expect(server.server.pool.heldBytes >= body.count)
    await server.stop()
  }

  @Test("delivers the same body whole, in pieces and chunked")
  func framings() async throws {
    let server = try TestServer()
    let body = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let client = try server.connect()
    try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n")
    for start in stride(from: 0, to: body.count, by: 70_001) {
      try await client.send(Array(body[start..<min(start + 70_001, body.count)]))
    }
    #expect(try await client.reply().body == body)
    var chunked = Array("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
    for start in stride(from: 0, to: body.count, by: 12_345) {
      let piece = body[start..<min(start + 12_345, body.count)]
      chunked += Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + [13, 10]
    }
    chunked += Array("0\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok".utf8)
    try await client.send(chunked)
    #expect(try await client.reply().body == body)
    #expect(try await client.reply().text == "ok")
    await server.stop()
  }

  @Test("says 100 Continue before the body, and the final status instead when it refuses")
  func expectContinue() async throws {
    let server = try TestServer()
    let client = try server.connect()
    try await client.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    #expect(try await client.reply().status == 100)
    try await client.send("hi")
    #expect(try await client.reply().text == "hi")
    try await client.send("POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    let refused = try await client.reply()
    #expect(refused.status == 404)
    #expect(refused.announcesClose)
    await server.stop()
  }

  @Test("answers a client that half-closed, then closes")
  func halfClose() async throws {
    let server = try TestServer()
    let client = try server.connect()
    try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
    await client.finish()
    #expect(try await client.reply().text == "hi")
    #expect(await client.isClosed())
    await server.stop()
  }

  @Test("refuses a body over the limit at its head and never reads what follows as a request")
  func tooLarge() async throws {
    let server = try TestServer()
    let client = try server.connect()
    try await client.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    let reply = try await client.reply()
    #expect(reply.status == 413)
    #expect(reply.announcesClose)
    await client.finish()
    #expect(await client.isClosed())
    #expect(server.responder.finishedExchanges.count == 1)
    await server.stop()
  }

  @Test("cuts off a chunked body that outgrows the limit")
  func chunkedTooLarge() async throws {
    let server = try TestServer()
    let client = try server.connect()
    try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    // One byte more than the 8 MiB allowed; the server may answer, and stop reading, at any point from there on.
    let piece = [UInt8](repeating: 1, count: 1 << 20)
    for _ in 0..<8 { try await client.send(Array("100000\r\n".utf8) + piece + [13, 10]) }
    try await client.send("1\r\n")
    #expect(try await client.reply().status == 413)
    await server.stop()
  }

  @Test("a framing error gets its status and ends the connection")
  func framingError() async throws {
    let server = try TestServer()
    let client = try server.connect()
    try await client.send(
      "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
    let reply = try await client.reply()
    #expect(reply.status == 400)
    await client.finish()
    #expect(await client.isClosed())
    await server.stop()
  }

  @Test("cuts off a head, and a body, that do not arrive in time")
  func timeouts() async throws {
    let server = try TestServer { configuration in
      configuration.headTimeout = .milliseconds(50)
      configuration.bodyTimeout = .milliseconds(50)
    }
    let slowHead = try server.connect()
    try await slowHead.send("GET / HT")
    #expect(try await slowHead.reply().status == 408)
    let slowBody = try server.connect()
    try await slowBody.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi")
    #expect(try await slowBody.reply().status == 408)
    await server.stop()
  }

  @Test("closes an idle connection after its time, without a word")
  func idleTimeout() async throws {
    let server = try TestServer { $0.idleTimeout = .milliseconds(50) }
    let client = try server.connect()
    #expect(await client.isClosed())
    await server.stop()
  }

  @Test("refuses beyond the in-flight cap with 429, answers probes all the same, and recovers")
  func queueFull() async throws {
    let server = try TestServer { $0.maximumInFlight = 1 }
    let busy = try server.connect()
    try await busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
    await server.responder.arrivals.opened()
    let refused = try server.connect()
    try await refused.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await refused.reply().status == 429)
    let probe = try server.connect()
    // Exempt from the cap; computed inline or not, it must not wait for the busy thread.
    try await probe.send("GET /probe HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await probe.reply().status == 200)
    server.responder.gate.open()
    #expect(try await busy.reply().text == "through")
    try await refused.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await refused.reply().status == 200)
    #expect(server.server.capacity.inFlightCount == 0)
    await server.stop()
  }

  @Test("refuses beyond the byte budget with 503")
  func byteBudget() async throws {
    let server = try TestServer { configuration in
      configuration.maximumInFlightBytes = 1000
      // The holder must outlast however long a busy machine takes for the rest.
      configuration.bodyTimeout = .seconds(600)
    }
    let holder = try server.connect()
    try await holder.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n")
    try await holder.send([UInt8](repeating: 65, count: 899))
    let refused = try server.connect()
    // The holder's bytes may still be on their way: they have arrived once this is rejected.
    var status = 200
    for _ in 0..<10_000 where status == 200 {
      try await refused.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n")
      try await refused.send([UInt8](repeating: 0, count: 200))
      status = try await refused.reply().status
    }
    #expect(status == 503)
    try await holder.send([UInt8](repeating: 65, count: 1))
    #expect(try await holder.reply().status == 200)
    #expect(server.server.capacity.inFlightBodyBytes == 0)
    await server.stop()
  }

  @Test("clients that announce much and send little keep nobody out")
  func announcements() async throws {
    let server = try TestServer { configuration in
      configuration.maximumInFlight = 1
      configuration.maximumInFlightBytes = 8 << 20
    }
    var holders: [RawClient] = []
    for _ in 0..<20 {
      let holder = try server.connect()
      try await holder.send(
        "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: \(5 << 20)\r\nExpect: 100-continue\r\n\r\n")
      // Admitted, and its body waited for in a buffer of some kilobytes.
      #expect(try await holder.reply(hasBody: false).status == 100)
      holders.append(holder)
    }
    let client = try server.connect()
    try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok")
    #expect(try await client.reply().text == "ok")
    await server.stop()
  }

  @Test("serves only probes on connections beyond the cap")
  func connectionCap() async throws {
    let server = try TestServer { $0.maximumConnections = 1 }
    let first = try server.connect()
    try await first.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await first.reply().status == 200)
    let second = try server.connect()
    try await second.send("GET /probe HTTP/1.1\r\nHost: a\r\n\r\nGET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await second.reply().status == 200)
    #expect(try await second.reply().status == 503)
    await server.stop()
  }

  @Test("leaves the body out of the answer to HEAD, and nothing else")
  func headRequest() async throws {
    let server = try TestServer()
    let client = try server.connect()
    try await client.send("HEAD /length HTTP/1.1\r\nHost: a\r\n\r\nGET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    let head = try await client.reply(hasBody: false)
    #expect(head.head.lowercased().contains("content-length: 1\r\n"))
    #expect(try await client.reply().text == "0")
    await server.stop()
  }

  @Test("survives resets at every byte of a request and gives everything back")
  func resets() async throws {
    let server = try TestServer()
    let request = "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc"
    for length in 0...request.utf8.count {
      let client = try server.connect()
      if length > 0 { try await client.send(Array(request.utf8.prefix(length))) }
      await client.reset()
    }
    let client = try server.connect()
    // Answered after the resets were seen, or not: ask until they were.
    repeat {
      try await client.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(try await client.reply().status == 200)
    } while server.server.capacity.connectionCount > 1
    #expect(server.server.capacity.inFlightBodyBytes == 0)
    await server.stop()
  }

  @Test("an answer counts as held until it is sent, and one too many is refused with 503")
  func unreadAnswers() async throws {
    let size = EchoResponder.largeCount
    let server = try TestServer { $0.maximumInFlightBytes = size + size / 2 }
    let holder = try server.connect()
    try await holder.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    let other = try server.connect()
    repeat {
      try await other.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(try await other.reply().status == 200)
    } while server.server.capacity.inFlightBodyBytes < size
    try await other.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await other.reply().status == 503)
    #expect(try await holder.reply().body.count == size)
    try await other.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await other.reply().status == 200)
    #expect(server.server.capacity.inFlightBodyBytes == 0)
    await server.stop()
  }

  @Test(
    "inflates a coded body as it arrives, whole, bytewise and chunked", arguments: [1, 7, 4_096, 1 << 20])
  func codedBodies(step: Int) async throws {
    let server = try TestServer {
      $0.eventLoops = 1
      // Byte by byte on a busy machine, under a sanitizer, takes longer than a client may.
      $0.bodyTimeout = .seconds(600)
    }
    let body = (0..<(step == 1 ? 3_000 : 3_000_000)).map { UInt8(truncatingIfNeeded: ($0 &* $0) >> 5) }
    let coded = try #require(Deflater.encoded(body))
    let client = try server.connect()
    let fields = "Host: a\r\nContent-Encoding: gzip\r\n"
    var chunked: [UInt8] = []
    try await client.send("POST /echo HTTP/1.1\r\n\(fields)Content-Length: \(coded.count)\r\n\r\n")
    for start in stride(from: 0, to: coded.count, by: step) {
      let piece = Array(coded[start..<min(start + step, coded.count)])
      if step != 7 { try await client.send(piece) }
      chunked += Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + [13, 10]
    }
    if step == 7 { try await client.send(coded) }
    #expect(try await client.reply().body == body)
    chunked += Array("0\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok".utf8)
    try await client.send("POST /echo HTTP/1.1\r\n\(fields)Transfer-Encoding: chunked\r\n\r\n")
    try await client.send(chunked)
    #expect(try await client.reply().body == body)
    #expect(try await client.reply().text == "ok")
    #expect(server.server.capacity.inFlightBodyBytes == 0)
    await server.stop()
  }

  @Test("refuses a coded body that is damaged, cut off, continued or too large, and closes")
  func badCodedBodies() async throws {
    let server = try TestServer()
    let coded = try #require(Deflater.encoded(Array("some text, some text, some text".utf8)))
    let bomb = try #require(Deflater.encoded([UInt8](repeating: 0, count: (8 << 20) + 1)))
    var damaged = coded
    damaged[coded.count / 2] ^= 0x10
    for (body, status) in [
      (damaged, 400), (Array(coded.dropLast()), 400), (coded + [0], 400), ([], 400), (bomb, 413),
      (Array("plain".utf8), 400),
    ] {
      let client = try server.connect()
      try await client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: \(body.count)\r\n\r\n")
      try await client.send(body)
      try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\n\r\n")
      let reply = try await client.reply()
      #expect(reply.status == status)
      #expect(reply.announcesClose)
      #expect(await client.isClosed())
    }
    #expect(server.server.capacity.inFlightBodyBytes == 0)
    await server.stop()
  }
}
