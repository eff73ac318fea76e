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

  init(
    _ change: (inout TransportConfiguration) -> Void = { _ in },
    execution: Acceptance.Execution = .pooled, nanoseconds: Double = 0
  ) throws {
    var configuration = TransportConfiguration()
    configuration.listeners = [.tcp("127.0.0.1", 0)]
    configuration.readiness = Self.readiness
    // libdispatch has 255 threads for all servers of all tests.
    configuration.bulkBodyBytes = .max
    change(&configuration)
    responder = EchoResponder(execution: execution, nanoseconds: nanoseconds)
    server = try Server(configuration, capacity: Capacity(configuration), responder: responder)
    try server.start()
  }

  func connect() throws -> RawClient { try RawClient(port: port) }

  func stop() async { await server.shutDown(drainDelay: .zero, timeout: .zero) }
}

/// Computes `/endless` until nobody waits for it; answers `/echo` with the body, `/length` with its length, `/large` with 32 MiB, `/gate` only after the gate opened; rejects `/no`.
final class EchoResponder: Responder {
  /// More than the system buffers for a client that does not read.
  static let largeCount = 32 << 20

  private let execution: Acceptance.Execution
  /// What every prepared request is expected to take.
  private let nanoseconds: Double
  let gate = Gate()
  let arrivals = Gate()
  let abandonments = Gate()
  private let addresses = Locked<[Int]>([])
  private let exchanges = Locked<[Exchange]>([])

  init(execution: Acceptance.Execution, nanoseconds: Double = 0) {
    self.execution = execution
    self.nanoseconds = nanoseconds
  }

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

  /// A head that looks cheap may bring a request that is not.
  func prepare(_ request: inout Request) -> ComputeEstimate? {
    request.head.path == "/gate" ? nil : ComputeEstimate(nanoseconds: nanoseconds, memoryBytes: 0)
  }

  func respond(to request: Request, into response: inout Response) { response = answer(request) }

  private func answer(_ request: Request) -> Response {
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

extension Refusal {
  /// As the service answers it.
  var status: Int {
    switch self {
    case .framing(let error): error.status
    case .coding(let error): error.status
    case .bodyTooLarge: 413
    case .timedOut: 408
    case .sharedMemory(.noRoomForDescriptor): 503
    case .sharedMemory: 400
    case .queueFull: 429
    case .noMemoryBudget, .tooManyConnections: 503
    }
  }
}
