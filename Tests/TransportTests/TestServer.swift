import Glibc
import HTTP1
import Locking
import Testing
import Transport

/// A running server on a free port whose responder says what it got.
final class TestServer: Sendable {
  /// What servers made in a test use, see ``OverEveryReadiness``.
  @TaskLocal static var readiness = ReadinessKind.standard

  let server: Server
  let responder: EchoResponder

  var port: UInt16 { server.endpoints[0].address.port }

  init(_ change: (inout TransportConfiguration) -> Void = { _ in }, execution: Acceptance.Execution = .pooled)
    throws
  {
    var configuration = TransportConfiguration()
    configuration.listeners = [.tcp("127.0.0.1", 0)]
    configuration.readiness = Self.readiness
    // libdispatch has 255 threads for all servers of all tests.
    configuration.bulkBodyBytes = .max
    change(&configuration)
    responder = EchoResponder(execution: execution)
    server = try Server(configuration, capacity: Capacity(configuration), responder: responder)
    try server.start()
  }

  func connect() throws -> RawClient { try RawClient(port: port) }

  func stop() async { await server.shutDown(drainDelay: .zero, timeout: .zero) }
}

/// Adds up a body while it arrives, each byte once.
final class SumReader: BodyReader {
  private(set) var count = 0
  private(set) var sum = 0
  private(set) var calls = 0

  func read(_ body: [UInt8]) {
    precondition(body.count > count, "there is more each time")
    for byte in body[count...] { sum += Int(byte) }
    count = body.count
    calls += 1
  }
}

/// Answers `/sum` at once with what a ``SumReader`` found. Computes `/endless` until nobody waits for it; answers `/echo` with the body, `/length` with its length, `/large` with 32 MiB, `/gate` only after the gate opened; refuses `/no`.
final class EchoResponder: Responder {
  /// More than the system buffers for a client that does not read.
  static let largeCount = 32 << 20

  let execution: Acceptance.Execution
  let gate = Gate()
  let arrivals = Gate()
  let abandonments = Gate()
  private let addresses = Locked<[Int]>([])
  private let exchanges = Locked<[Exchange]>([])

  init(execution: Acceptance.Execution) { self.execution = execution }

  /// Where each body of `/length` lay in memory.
  var bodyAddresses: [Int] { addresses.withLock { $0 } }
  var finishedExchanges: [Exchange] { exchanges.withLock { $0 } }

  func admit(_ head: RequestHead, framing: BodyFraming) -> Admission {
    if head.path == "/no" { return .reject(Response(status: 404, body: Array("no".utf8))) }
    return .accept(
      Acceptance(
        maximumBodyBytes: 8 << 20, execution: execution, isExemptFromLimits: head.path == "/probe",
        contentCoding: try? head.contentCoding()))
  }

  func mayRespondInline(to request: Request, as execution: Acceptance.Execution) -> Bool {
    request.head.path != "/gate"
  }

  func reader(for head: RequestHead, length: Int) -> (any BodyReader)? {
    head.path == "/sum" ? SumReader() : nil
  }

  func respondAtOnce(
    to request: Request, reader: (any BodyReader)?, into response: inout Response
  ) -> Bool {
    guard request.head.path == "/sum" else { return false }
    let found = reader as? SumReader
    found?.read(request.body + [0])
    response.body = Array("\(found?.sum ?? -1) in \((found?.count ?? 1) - 1)".utf8)
    return true
  }

  func respond(to request: Request) -> Response {
    switch request.head.path {
    case "/echo": return Response(status: 200, body: request.body)
    case "/large": return Response(status: 200, body: [UInt8](repeating: 7, count: Self.largeCount))
    case "/endless":
      arrivals.open()
      while !request.isAbandoned() { sched_yield() }
      abandonments.open()
      return Response(status: 503)
    case "/gate":
      arrivals.open()
      gate.wait()
      return Response(status: 200, body: Array("through".utf8))
    default:
      request.body.withUnsafeBytes { bytes in
        addresses.withLock { $0.append(Int(bitPattern: bytes.baseAddress)) }
      }
      return Response(status: 200, body: Array("\(request.body.count)".utf8))
    }
  }

  func refuse(_ refusal: Refusal, head: RequestHead?) -> Response {
    Response(status: refusal.status, body: Array("\(refusal)".utf8))
  }

  func finished(_ exchange: Exchange) { exchanges.withLock { $0.append(exchange) } }
}

/// Runs every test once for each way to learn which sockets are ready.
struct OverEveryReadiness: SuiteTrait, TestTrait, TestScoping {
  var isRecursive: Bool { true }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    for kind in ReadinessKind.allCases {
      try await TestServer.$readiness.withValue(kind) { try await function() }
    }
  }
}

extension Trait where Self == OverEveryReadiness {
  static var overEveryReadiness: Self { Self() }
}
