/// The boundary between bytes and meaning: what a server does with requests.
///
/// The transport calls these from many threads at once.
public protocol Responder: Sendable {
  /// What a head asks for, as far as its bytes alone decide that: a function of both arguments and of nothing else,
  /// and not of ``KnownHead/varyingFields``.
  ///
  /// The transport keeps it as ``RequestHead/resolution`` and asks once for heads that come again. Everything below
  /// must work without it, too.
  func resolve(_ head: RequestHead, framing: BodyFraming) -> (any AnyObject & Sendable)?

  /// What the ``RequestHead/resolution`` of a head takes in memory, at most.
  func heldBytes(of head: RequestHead) -> Int

  /// Decides on the head alone, before any body byte is read: route, method, media type, size.
  ///
  /// A rejection costs no body, and `100 Continue` is sent only after an acceptance (RFC 9110 section 10.1.1).
  func admit(_ head: RequestHead, framing: BodyFraming) -> Admission

  /// Prepares a request that was admitted as ``Acceptance/Execution/prepared``, on an event loop and so in some ten
  /// microseconds at most: leaves in ``Request/preparation`` what ``respond(to:into:)`` need not do again.
  ///
  /// - Returns: what computing it will take; nil where that cannot be told so quickly, or nothing could be prepared.
  func prepare(_ request: inout Request) -> ComputeEstimate?

  /// Answers a request whose body lies in shared memory from the body's first bytes, if those decide the answer; the rest
  /// is then never read.
  ///
  /// - Parameters:
  ///   - request: with the first bytes as its body.
  ///   - bodyByteCount: of the whole body.
  ///   - response: as above.
  func respondToStart(of request: Request, bodyByteCount: Int, into response: inout Response) -> Bool

  /// The shared memory that was registered under a name; nil when there is none.
  ///
  /// - Throws: when names are not allowed.
  func sharedMemory(named name: String) throws(SharedMemoryError) -> SharedExtent?

  /// Answers one request. Never fails: whatever goes wrong becomes a response.
  ///
  /// - Parameter response: of status 200 and empty; its buffers may have room from earlier answers.
  func respond(to request: Request, into response: inout Response)

  /// The answer to bytes that never became a request, or to one that there is no capacity for.
  func refuse(_ refusal: Refusal, head: RequestHead?) -> Response

  /// Told once per response, after its last byte was handed to the system or the connection broke.
  func finished(_ exchange: Exchange)
}

extension Responder {
  public func resolve(_ head: RequestHead, framing: BodyFraming) -> (any AnyObject & Sendable)? { nil }

  public func heldBytes(of head: RequestHead) -> Int { 0 }

  public func prepare(_ request: inout Request) -> ComputeEstimate? { nil }

  public func respond(to request: Request) -> Response {
    var response = Response(status: 200)
    respond(to: request, into: &response)
    return response
  }

  public func respondToStart(
    of request: Request, bodyByteCount: Int, into response: inout Response
  ) -> Bool { false }

  public func sharedMemory(named name: String) throws(SharedMemoryError) -> SharedExtent? { nil }
}

/// What computing a request is expected to take; it decides which thread computes it.
public struct ComputeEstimate: Sendable {
  public let nanoseconds: Double
  /// Beside the body, at most.
  public let memoryBytes: Int

  public init(nanoseconds: Double, memoryBytes: Int) {
    self.nanoseconds = nanoseconds
    self.memoryBytes = memoryBytes
  }
}

public enum Admission: Sendable {
  case accept(Acceptance)
  /// Answer this at once; the body, if any, is not read.
  case reject(Response)
}

public struct Acceptance: Sendable {
  public enum Execution: Sendable {
    /// Microseconds of work: done on the event loop, saving two thread hops.
    case inline
    /// Prepared on the event loop once the body is there, and computed where the estimate says.
    case prepared
    /// Queued for the bounded compute pool.
    case pooled
  }

  /// The largest body this request may carry, decoded.
  public let maximumBodyBytes: Int
  public let execution: Execution
  /// Probes are answered whatever the load: no byte budget, no queue limit.
  public let isExemptFromLimits: Bool
  /// What to undo while the body is received; nil leaves it as it comes.
  public let contentCoding: ContentCoding?

  public init(
    maximumBodyBytes: Int, execution: Execution, isExemptFromLimits: Bool = false,
    contentCoding: ContentCoding? = nil
  ) {
    self.maximumBodyBytes = maximumBodyBytes
    self.execution = execution
    self.isExemptFromLimits = isExemptFromLimits
    self.contentCoding = contentCoding
  }
}

/// A whole request: its head, and its body in the one buffer it was received into.
public struct Request: Sendable {
  public let head: RequestHead
  public var body: [UInt8]
  /// From the first byte of the head to the last byte of the body.
  public let receiveNanoseconds: Int64
  /// Whether the client is gone: long work asks this between steps, and stops.
  public var isAbandoned: @Sendable () -> Bool = { false }
  /// Calls a function once with each of 0..<count, on idle threads too where there are any, and returns when all is
  /// done.
  public var share: @Sendable (_ count: Int, _ part: @escaping @Sendable (Int) -> Void) -> Void = {
    for index in 0..<$0 { $1(index) }
  }

  /// Has the request hold that many bytes beside its body, in all, and says whether it may: asked before they are taken.
  /// What does not fit now may wait for other requests.
  public var useMemory: @Sendable (_ bytes: Int) -> MemoryGrant = { _ in .granted }
  /// Threads that may compute parts of the request at the same time.
  public var threadCount = 1
  /// What the responder made of the request before it is computed, see ``Responder/prepare(_:)``.
  public var preparation: (any AnyObject & Sendable)?

  public init(head: RequestHead, body: [UInt8], receiveNanoseconds: Int64 = 0) {
    self.head = head
    self.body = body
    self.receiveNanoseconds = receiveNanoseconds
  }

  /// Hands the body over: afterwards the receiver is its only owner, which is what lets a buffer be reused.
  public mutating func takeBody() -> [UInt8] {
    var taken: [UInt8] = []
    swap(&taken, &body)
    return taken
  }
}

/// Whether a request may have the memory that it needs.
public enum MemoryGrant: Sendable, Equatable {
  case granted
  /// It needs more than there ever is.
  case exceeds(limit: Int)
  /// Others hold too much of it.
  case notNow
}

public struct Response: Sendable {
  public var status: Int
  /// `Content-Length`, `Connection` and `Date` are the transport's business and never stand here.
  public var fields: [Field]
  /// More field lines as they go out, each `Name: value` with its CRLF; who writes them answers for their form.
  public var fieldLines: [UInt8] = []
  public var body: [UInt8]
  /// The body is one array for all such answers, and takes no memory of its own.
  public var isBodyShared = false
  /// Close after this response even if the client would keep the connection.
  public var closesConnection: Bool
  /// Facts for the access log that only the responder knows, in order: ("tokens", "576").
  public var annotations: [Field]

  public struct Field: Sendable, Equatable {
    public let name: String
    public let value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  public init(
    status: Int, fields: [Field] = [], body: [UInt8] = [], closesConnection: Bool = false,
    annotations: [Field] = []
  ) {
    self.status = status
    self.fields = fields
    self.body = body
    self.closesConnection = closesConnection
    self.annotations = annotations
  }
}

extension Response {
  /// Forgets the answer and keeps what memory it took, for the next one.
  public mutating func clear() {
    status = 200
    fields.removeAll(keepingCapacity: true)
    fieldLines.removeAll(keepingCapacity: true)
    body.removeAll(keepingCapacity: true)
    isBodyShared = false
    closesConnection = false
    annotations = []
  }
}

/// Why the transport answers by itself.
public enum Refusal: Error, Sendable, Equatable {
  /// The bytes are not HTTP/1.1, or break one of its rules.
  case framing(FramingError)
  /// The body does not match its Content-Encoding (400), or too large without it (413).
  case coding(ContentCodingError)
  /// The body would not fit (413); `limit` is what was allowed.
  case bodyTooLarge(limit: Int)
  /// Head or body did not arrive in time (408).
  case timedOut(phase: String)
  /// The shared memory that holds the body cannot be read (400, or 503 for lack of descriptors).
  case sharedMemory(SharedMemoryError)
  /// Too many bytes in flight (503).
  case noMemoryBudget
  /// Too many requests waiting for a processor (429).
  case queueFull
  /// Connection cap reached (503).
  case tooManyConnections
}

/// What happened to one request, for logs and metrics.
public struct Exchange: Sendable {
  /// Nil when no head could be parsed.
  public let head: RequestHead?
  public let status: Int
  public let annotations: [Response.Field]
  public let bodyBytesReceived: Int
  public let bytesSent: Int
  public let receiveNanoseconds: Int64
  public let respondNanoseconds: Int64
  public let writeNanoseconds: Int64
  /// From the first byte of the head to the last byte of the answer, waiting included.
  public let totalNanoseconds: Int64
  public let remoteAddress: String
  public let connection: UInt64
  /// The client was gone before the last byte was handed over.
  public let isBroken: Bool

  public init(
    head: RequestHead?, status: Int, annotations: [Response.Field], bodyBytesReceived: Int, bytesSent: Int,
    receiveNanoseconds: Int64, respondNanoseconds: Int64, writeNanoseconds: Int64,
    totalNanoseconds: Int64? = nil, remoteAddress: String, connection: UInt64, isBroken: Bool
  ) {
    self.head = head
    self.status = status
    self.annotations = annotations
    self.bodyBytesReceived = bodyBytesReceived
    self.bytesSent = bytesSent
    self.receiveNanoseconds = receiveNanoseconds
    self.respondNanoseconds = respondNanoseconds
    self.writeNanoseconds = writeNanoseconds
    self.totalNanoseconds = totalNanoseconds ?? (receiveNanoseconds + respondNanoseconds + writeNanoseconds)
    self.remoteAddress = remoteAddress
    self.connection = connection
    self.isBroken = isBroken
  }
}
