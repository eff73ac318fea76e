import HTTP1
import Testing

@testable import Transport

/// Where requests are computed: on their event loop, or by the pool.
@Suite(.overEveryReadiness, .timeLimit(.minutes(1))) struct PlacementTests {
  @Test("does not compute a queued request whose client is gone")
  func abandoned() async throws {
    let server = try TestServer { $0.computeThreads = 1 }
    let busy = try server.connect()
    try await busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
    await server.responder.arrivals.opened()
    var gone: RawClient? = try server.connect()
    try await gone?.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    let probe = try server.connect()
    while server.server.capacity.inFlightCount < 2 { try await Self.ask(probe) }
    // The reset is sent as the descriptor closes, with the last reference.
    await gone?.reset()
    gone = nil
    while server.server.capacity.inFlightCount > 1 { try await Self.ask(probe) }
    #expect(server.server.capacity.inFlightBodyBytes == 0)
    server.responder.gate.open()
    #expect(try await busy.reply().text == "through")
    #expect(server.responder.bodyAddresses.isEmpty)
    await server.stop()
  }

  @Test("computes elsewhere what cannot be told to be cheap, and frees its permit")
  func notInline() async throws {
    let server = try TestServer({ $0.maximumInFlight = 1 }, execution: .prepared)
    let busy = try server.connect()
    try await busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
    await server.responder.arrivals.opened()
    // The loops are free, and what is inline needs no permit.
    let other = try server.connect()
    try await other.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\nGET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await other.reply().status == 200)
    #expect(try await other.reply().status == 429)
    server.responder.gate.open()
    #expect(try await busy.reply().text == "through")
    #expect(server.server.capacity.inFlightCount == 0)
    await server.stop()
  }

  @Test("computes a longer request itself while no other is under way, and not when one is")
  func inlineWhenIdle() async throws {
    let server = try TestServer(
      {
        $0.maximumInFlight = 1
        $0.eventLoops = 1
      }, execution: .prepared, nanoseconds: Placement.shortNanoseconds)
    let busy = try server.connect()
    // Needs a permit, as it is not cheap; then the only one is taken.
    try await busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
    await server.responder.arrivals.opened()
    let other = try server.connect()
    try await other.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await other.reply().status == 429)
    server.responder.gate.open()
    #expect(try await busy.reply().text == "through")
    try await other.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await other.reply().status == 200)
    #expect(server.server.capacity.inFlightCount == 0)
    await server.stop()
  }

  @Test(
    "computes a longer request itself when no processor is free for another thread",
    arguments: [(1, 1, 2, true), (1, 2, 2, false), (1, 2, 3, false), (2, 2, 3, true)])
  func inlineWhenSaturated(loops: Int, processors: Int, busy: Int, isInline: Bool) async throws {
    let server = try TestServer(
      {
        $0.eventLoops = loops
        $0.processorCount = processors
        $0.computeThreads = 1
      }, execution: .prepared, nanoseconds: Placement.shortNanoseconds)
    // One keeps the only thread, the others wait for it, as does whatever is handed over after them.
    let others = try (0..<busy).map { _ in try server.connect() }
    for client in others { try await client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n") }
    let probe = try server.connect()
    while server.server.capacity.inFlightCount < busy { try await Self.ask(probe) }
    let client = try server.connect()
    try await client.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    if isInline {
      #expect(try await client.reply().status == 200)
    } else {
      while server.server.capacity.inFlightCount == busy { try await Self.ask(probe) }
    }
    server.responder.gate.open()
    for client in others { #expect(try await client.reply().text == "through") }
    if !isInline { #expect(try await client.reply().status == 200) }
    #expect(server.server.capacity.inFlightCount == 0)
    await server.stop()
  }

  private static func ask(_ probe: RawClient) async throws {
    try await probe.send("GET /no HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await probe.reply().status == 404)
  }

  @Test("a computation hears that its client went away")
  func abandonment() async throws {
    let server = try TestServer()
    var client: RawClient? = try server.connect()
    try await client?.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    await server.responder.arrivals.opened()
    // The reset is sent as the descriptor closes, with the last reference.
    await client?.reset()
    client = nil
    await server.responder.abandonments.opened()
    let probe = try server.connect()
    while server.server.capacity.inFlightCount > 0 { try await Self.ask(probe) }
    #expect(server.responder.finishedExchanges.contains { $0.isBroken && $0.head?.path == "/endless" })
    await server.stop()
  }

  @Test("computes about a millisecond itself on a loop with one connection, and not when another is there")
  func inlineWhenAlone() async throws {
    let server = try TestServer(
      {
        $0.eventLoops = 2
        $0.computeThreads = 1
      }, execution: .prepared, nanoseconds: Placement.attemptNanoseconds)
    // Connections go to the loops in turn. The first one keeps the only thread.
    let (busy, client) = (try server.connect(), try server.connect())
    try await busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
    await server.responder.arrivals.opened()
    try await client.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await client.reply().status == 200)
    let (beside, company) = (try server.connect(), try server.connect())
    try await Self.ask(beside)
    try await Self.ask(company)
    try await client.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    while server.server.capacity.inFlightCount < 2 { try await Self.ask(company) }
    server.responder.gate.open()
    #expect(try await busy.reply().text == "through")
    #expect(try await client.reply().status == 200)
    #expect(server.server.capacity.inFlightCount == 0)
    await server.stop()
  }

  @Test("gives up after a while what it computes itself, and has the pool begin anew")
  func patience() async throws {
    let server = try TestServer(
      { $0.eventLoops = 1 }, execution: .prepared, nanoseconds: Placement.attemptNanoseconds)
    var client: RawClient? = try server.connect()
    // On the loop it ends when it is told to stop, in the pool when the client is gone.
    try await client?.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    await server.responder.abandonments.opened()
    while server.server.capacity.inFlightCount == 0 { try await Self.ask(try server.connect()) }
    // The reset is sent as the descriptor closes, with the last reference.
    await client?.reset()
    client = nil
    while server.server.capacity.inFlightCount > 0 { try await Self.ask(try server.connect()) }
    #expect(server.responder.finishedExchanges.allSatisfy { $0.status != 503 })
    await server.stop()
  }
}
