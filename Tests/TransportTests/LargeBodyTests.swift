import HTTP1
import Testing

@testable import Transport

/// Large bodies have loops and threads of their own; what is large is small here.
@Suite(.overEveryReadiness) struct LargeBodyTests {
  private static let large = 50_000

  private static func server(_ change: (inout TransportConfiguration) -> Void = { _ in }) throws -> TestServer
  {
    try TestServer {
      $0.bulkBodyBytes = large
      change(&$0)
    }
  }

  private static func post(_ path: String, _ body: [UInt8]) -> [UInt8] {
    Array("POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body
  }

  private static func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
  }

  @Test("a small request is computed while every thread for large ones is taken, and more of them wait")
  func smallBesideLarge() async throws {
    let server = try Self.server {
      $0.computeThreads = 1
      $0.eventLoops = 1
    }
    let busy = try server.connect()
    try await busy.send(Self.post("/gate", Self.bytes(Self.large)))
    await server.responder.arrivals.opened()
    let waiting = try server.connect()
    try await waiting.send(Self.post("/length", Self.bytes(Self.large)))
    // Were there one queue for all, nothing below would be answered before the gate opens.
    let small = try server.connect()
    for _ in 0..<3 {
      try await small.send(Self.post("/length", [1, 2, 3]))
      #expect(try await small.reply().text == "3")
    }
    server.responder.gate.open()
    #expect(try await busy.reply().text == "through")
    #expect(try await waiting.reply().text == String(Self.large))
    await server.stop()
  }

  @Test("requests of every size come and go in order on one connection")
  func alternating() async throws {
    let server = try Self.server()
    let client = try server.connect()
    // Whole heads and parts of bodies arrive together, so that what was read ahead must move along.
    let counts = [3, Self.large, Self.large + 1, 2, 0, Self.large - 1, 4 * Self.large, 7]
    let requests = counts.flatMap { Self.post("/echo", Self.bytes($0)) }
    async let sent: Void = client.send(requests)
    try await sent
    for count in counts { #expect(try await client.reply().body == Self.bytes(count)) }
    #expect(server.server.capacity.connectionCount == 1)
    #expect(server.server.capacity.inFlightBodyBytes == 0)
    await server.stop()
    // However often it moved, it is one connection, and each request is told of once.
    #expect(server.responder.finishedExchanges.count == counts.count)
    #expect(Set(server.responder.finishedExchanges.map(\.connection)).count == 1)
    #expect(server.responder.finishedExchanges.allSatisfy { !$0.isBroken && $0.status == 200 })
    #expect(Set(server.responder.finishedExchanges.map(\.remoteAddress)).count == 1)
  }

  @Test("a head in pieces moves when it is whole, and its client is told to continue")
  func expectation() async throws {
    let server = try Self.server()
    let client = try server.connect()
    let body = Self.bytes(Self.large)
    try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Le")
    try await client.send("ngth: \(body.count)\r\nExpect: 100-continue\r\n\r\n")
    #expect(try await client.reply().status == 100)
    try await client.send(body)
    #expect(try await client.reply().body == body)
    await server.stop()
  }

  @Test("a body over the limit is refused at its head, wherever that is read")
  func tooLarge() async throws {
    let server = try Self.server()
    let client = try server.connect()
    try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \(9 << 20)\r\n\r\n")
    #expect(try await client.reply().status == 413)
    await server.stop()
  }

  @Test("a server without bulk loops serves whatever is announced", arguments: [3, Int.max])
  func noBulk(length: Int) async throws {
    let server = try TestServer()
    let client = try server.connect()
    try await client.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\r\nabc")
    #expect(try await client.reply().status == (length == 3 ? 200 : 413))
    await server.stop()
  }

  @Test("beyond the connection cap a large request is refused where it is")
  func overCapacity() async throws {
    let server = try Self.server { $0.maximumConnections = 1 }
    let first = try server.connect()
    try await first.send(Self.post("/length", []))
    #expect(try await first.reply().status == 200)
    let second = try server.connect()
    try await second.send(Self.post("/length", Self.bytes(Self.large)))
    #expect(try await second.reply().status == 503)
    await server.stop()
  }

  @Test("bodies arrive whole where many are announced, in buffers that grow with them")
  func growing() async throws {
    let server = try Self.server { $0.maximumInFlightBytes = 9 << 20 }
    // Alone, it has all the room that there is.
    let announcing = try server.connect()
    try await announcing.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: \(4 << 20)\r\n\r\nx")
    let other = try server.connect()
    for count in [100_000, 1 << 20, 3_000_001] {
      try await other.send(Self.post("/echo", Self.bytes(count)))
      #expect(try await other.reply().body == Self.bytes(count))
    }
    await server.stop()
  }

  @Test("a drain waits for a large body that is on its way")
  func drain() async throws {
    let server = try Self.server()
    let client = try server.connect()
    let request = Self.post("/length", Self.bytes(Self.large))
    try await client.send(Array(request.prefix(request.count / 2)))
    // Answered by the loop that the other connection moved to: it has been taken over there.
    let other = try server.connect()
    try await other.send(Self.post("/length", Self.bytes(Self.large)))
    #expect(try await other.reply().status == 200)
    async let stopped: Void = server.server.shutDown(drainDelay: .zero, timeout: .seconds(30))
    #expect(await other.isClosed())
    try await client.send(Array(request.suffix(request.count - request.count / 2)))
    let reply = try await client.reply()
    #expect(reply.text == String(Self.large))
    #expect(reply.announcesClose)
    #expect(await client.isClosed())
    await stopped
    #expect(server.server.capacity.connectionCount == 0)
  }

  @Test("resets amid large bodies give everything back", arguments: [0, 1, 20_000, 49_999])
  func resets(sent: Int) async throws {
    let server = try Self.server()
    var gone: RawClient? = try server.connect()
    let head = Self.post("/length", Self.bytes(Self.large))
    try await gone?.send(Array(head.prefix(head.count - Self.large + sent)))
    let other = try server.connect()
    try await other.send(Self.post("/length", Self.bytes(Self.large)))
    #expect(try await other.reply().status == 200)
    await gone?.reset()
    gone = nil
    while server.server.capacity.connectionCount > 1 {
      try await other.send(Self.post("/length", Self.bytes(Self.large)))
      #expect(try await other.reply().status == 200)
    }
    #expect(server.server.capacity.inFlightBodyBytes == 0)
    await server.stop()
  }

  @Test("loops share out connections, brief ones and bulk ones alike")
  func loops() {
    var configuration = TransportConfiguration()
    for (loops, brief, bulk) in [(0, 1, 1), (1, 1, 1), (2, 2, 1), (3, 3, 2), (8, 8, 4)] {
      configuration.eventLoops = loops
      #expect(configuration.briefLoopCount == brief)
      #expect(configuration.bulkLoopCount == bulk)
    }
    configuration.bulkBodyBytes = .max
    #expect(configuration.bulkLoopCount == 0)
  }
}
