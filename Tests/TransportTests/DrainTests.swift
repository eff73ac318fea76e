import HTTP1
import Testing

@testable import Transport

@Suite(.overEveryReadiness) struct DrainTests {
  @Test("finishes what is in flight, announces the end, then closes")
  func finishesInFlight() async throws {
    let server = try TestServer()
    let busy = try server.connect()
    try await busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
    await server.responder.arrivals.opened()
    async let stopped: Void = server.server.shutDown(drainDelay: .zero, timeout: .seconds(30))
    // A new connection is rejected once the listener is gone; until then it is served.
    while let late = try? server.connect() {
      guard (try? await late.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")) != nil else { break }
      guard let reply = try? await late.reply() else { break }
      #expect(reply.status == 200)
    }
    server.responder.gate.open()
    let reply = try await busy.reply()
    #expect(reply.text == "through")
    #expect(reply.announcesClose)
    #expect(await busy.isClosed())
    await stopped
  }

  @Test("still accepts during the drain delay, and answers with Connection: close")
  func drainDelay() async throws {
    let server = try TestServer()
    let idle = try server.connect()
    try await idle.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await !idle.reply().announcesClose)
    async let stopped: Void = server.server.shutDown(drainDelay: .seconds(60), timeout: .zero)
    var announcesClose = false
    while !announcesClose {
      let late = try server.connect()
      try await late.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
      announcesClose = try await late.reply().announcesClose
    }
    try await idle.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await idle.reply().announcesClose)
    #expect(await idle.isClosed())
    server.server.stopNow()
    await stopped
  }

  @Test("stops at once when told so, whatever is open")
  func stopNow() async throws {
    let server = try TestServer()
    let idle = try server.connect()
    try await idle.send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n")
    _ = try await idle.reply()
    async let stopped: Void = server.server.shutDown(drainDelay: .seconds(60), timeout: .seconds(60))
    server.server.stopNow()
    await stopped
    #expect(await idle.isClosed())
    #expect(server.server.capacity.connectionCount == 0)
  }
}
