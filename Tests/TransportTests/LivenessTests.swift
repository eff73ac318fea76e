import HTTP1
import Testing

@testable import Transport

/// What a watchdog asks.
@Suite struct LivenessTests {
  /// Answers on the event loop, once the gate is open.
  private struct HangingResponder: Responder {
    let arrivals = Gate()
    let gate = Gate()

    func admit(_ head: RequestHead, framing: BodyFraming) -> Admission {
      .accept(Acceptance(maximumBodyBytes: 0, execution: .inline))
    }

    func respond(to request: Request, into response: inout Response) {
      arrivals.open()
      gate.wait()
    }

    func refuse(_ refusal: Refusal, head: RequestHead?) -> Response { Response(status: refusal.status) }
    func finished(_ exchange: Exchange) {}
  }

  @Test("loops that turn answer; one that hangs in a request does not, and neither does one that has ended")
  func hanging() async throws {
    var configuration = TransportConfiguration()
    configuration.listeners = [.tcp("127.0.0.1", 0)]
    configuration.bulkBodyBytes = .max
    configuration.eventLoops = 2
    let responder = HangingResponder()
    let server = try Server(configuration, capacity: Capacity(configuration), responder: responder)
    try server.start()
    let all = server.askLoops()
    while !all.isAnswered { await Task.yield() }
    let client = try RawClient(port: server.endpoints[0].address.port)
    try await client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await responder.arrivals.opened()
    let question = server.askLoops()
    for _ in 0..<1000 { await Task.yield() }
    #expect(!question.isAnswered)
    responder.gate.open()
    while !question.isAnswered { await Task.yield() }
    await server.shutDown(drainDelay: .zero, timeout: .zero)
    #expect(!server.askLoops().isAnswered)
  }
}
