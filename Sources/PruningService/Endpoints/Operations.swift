import HTTP1
import JSON
import LearnedNetworks
import PruningNumerics
import TensorFormats
import Tensors
import TokenPruning

extension Endpoints {
  /// `POST /localize`, `/compress` or `/prune`: decode and prepare, compute, encode.
  ///
  /// - Parameter timeout: how long computing may take.
  static func operation(_ operation: Operation, _ models: ModelStore, timeout: Duration?) -> Endpoint {
    let handler = OperationHandler(operation: operation, models: models, timeout: timeout)
    return Endpoint(
      method: "POST", route: "/\(operation.rawValue)", kind: .operation,
      prepare: { request, resolved throws(Problem) in
        try handler.prepare(request, resolved, isBrief: true)
      },
      answer: { context, response throws(Problem) in try handler.respond(context, into: &response) })
  }
}

/// Answers the requests of one operation.
struct OperationHandler: Sendable {
  let operation: Operation
  let models: ModelStore
  let timeout: Duration?

  /// Decodes a request and prepares its operation, or finds what an earlier one like it has left.
  ///
  /// - Parameter isBrief: whether to give up what may take more than some ten microseconds.
  /// - Returns: nil when given up.
  func prepare(
    _ request: Request, _ resolved: ResolvedHead, isBrief: Bool, deadline: ContinuousClock.Instant? = nil
  ) throws(Problem) -> PreparedRequest? {
    if let found = resolved.operations.find(request.body) { return found }
    let (format, query, hints) = try Self.form(
      of: request, resolved, parameterNames: Operation.parameterNames, mainTensor: operation.mainTensor(of:),
      deadline)
    let decodedBytes = format.decodingBytes(of: request.body[...], hints)
    if isBrief, request.body.count > Self.briefBodyBytes || decodedBytes > Self.briefDecodedBytes {
      return nil
    }
    try Self.use(decodedBytes, in: request)
    let document = try Self.decode(request, as: format, hints, query)
    let sources = TensorForms.bytes(of: document.tensors)
    if let known = resolved.operations.find(document, format) {
      return PreparedRequest(known, .decoded(sources), format: format, decodedBytes: decodedBytes)
    }
    if isBrief, Self.textBytes(ofRegion: document.parameters["region"]) > Self.briefRegionBytes { return nil }
    // Counted for this request alone: an operation whose tensors were reordered is not kept.
    var usedBytes = decodedBytes
    try Self.useReordered(document, beside: &usedBytes, in: request)
    let context = RunContext(
      models: models.current,
      stepLimit: StepLimit(.max, isAbandoned: request.isAbandoned, isOverdue: Self.isOverdue(deadline)))
    guard
      let prepared = try PreparedOperation(
        operation, document, context,
        isBrief ? .none : Reservation(request, decodedBytes: usedBytes),
        maximumTokens: isBrief ? Self.briefTokens : .max, maximumForms: isBrief ? Self.briefForms : .max)
    else { return nil }
    let body = prepared.plan == nil ? nil : BodyPlan(request.body, sources)
    resolved.operations.add(prepared, for: document, format, decodedBytes: decodedBytes, body)
    // Slices of the body would keep its buffer from being used again.
    return PreparedRequest(
      prepared, body.map { .inBody($0) } ?? .decoded(sources), format: format, decodedBytes: usedBytes)
  }

  // What an event loop decodes and prepares by itself: bodies that came with their heads, mostly.
  private static let briefBodyBytes = 64 << 10
  private static let briefDecodedBytes = 256 << 10
  private static let briefTokens = 8 << 10
  /// Each image of a batch may have parameters of its own, and all together those of the body.
  private static let briefForms = 16
  /// A model's text with boxes, which is read anew for each form.
  private static let briefRegionBytes = 256

  private static func textBytes(ofRegion region: JSONValue?) -> Int {
    switch region {
    case .object(let object): object["text"]?.stringValue?.utf8.count ?? 0
    case .array(let regions): regions.reduce(0) { $0 + textBytes(ofRegion: $1) }
    default: 0
    }
  }

  func respond(_ context: Endpoint.Context, into response: inout Response) throws(Problem) {
    let request = context.request
    let deadline = timeout.map { ContinuousClock.now + $0 }
    let prepared = try context.timing.measure("decode") { () throws(Problem) -> PreparedRequest? in
      if let prepared = context.prepared { return prepared }
      return try prepare(request, context.resolved, isBrief: false, deadline: deadline)
    }
    guard let prepared else { preconditionFailure("nothing takes too long here") }
    let answer = try context.timing.measure("compute") { () throws(Problem) -> Answer in
      if let known = prepared.operation.knownAnswer { return known }
      let run = RunContext(models: models.current, request, deadline: deadline)
      try Self.use(
        prepared.operation.memoryBytes(
          decodedBytes: prepared.decodedBytes, threads: request.threadCount, models: run.models),
        in: request)
      return try prepared.operation.run(prepared.sources(in: request.body), run)
    }
    context.metrics.recordTokens(received: answer.tokenCount, kept: answer.keptCount)
    let start = ContinuousClock.now
    let form = BodyFormat.ofResponse(to: request.head, requestFormat: prepared.format, answer)
    try answer.encode(as: form, into: &response.body, answer.isLong ? Self.mustStop(request, deadline) : nil)
    context.timing.record("encode", nanoseconds: (ContinuousClock.now - start).wholeNanoseconds)
    response.fields.append(Response.Field("Content-Type", form.mediaType))
    guard context.isLogged else { return }
    response.annotations = [Response.Field("format", prepared.format.name)] + answer.annotations
  }

  /// Reads the body and the query string, once there is memory for what they become.
  ///
  /// - Parameters:
  ///   - parameterNames: members of a body that are no tensors.
  ///   - mainTensor: what the tensor of a body that cannot name it is called, by the method that the query names.
  ///   - deadline: when the body is read no further.
  static func decoded(
    _ context: Endpoint.Context, parameterNames: Set<String>, mainTensor: (String?) -> String,
    deadline: ContinuousClock.Instant?
  ) throws(Problem) -> (document: TensorDocument, decodedBytes: Int, format: any TensorFormat.Type) {
    let (format, query, hints) = try form(
      of: context.request, context.resolved, parameterNames: parameterNames, mainTensor: mainTensor, deadline)
    var decodedBytes = format.decodingBytes(of: context.request.body[...], hints)
    try use(decodedBytes, in: context.request)
    let document = try context.timing.measure("decode") { () throws(Problem) in
      try decode(context.request, as: format, hints, query)
    }
    try useReordered(document, beside: &decodedBytes, in: context.request)
    return (document, decodedBytes, format)
  }

  /// What a request's head says of its body: the format, the parameters beside it, and how it is read.
  private static func form(
    of request: Request, _ resolved: ResolvedHead, parameterNames: Set<String>,
    mainTensor: (String?) -> String, _ deadline: ContinuousClock.Instant?
  ) throws(Problem) -> (format: any TensorFormat.Type, query: QueryParameters, hints: DecodingHints) {
    let format = try BodyFormat.ofRequest(request, resolved)
    let query = try resolved.query.get()
    try query.requireFit(with: format)
    let hints = DecodingHints(
      parameterNames: parameterNames, tensorName: query.tensorName ?? mainTensor(query.methodName),
      elementType: query.elementType, boundary: BodyFormat.boundary(resolved, format),
      zipCoding: .zlib, maximumDecodedBytes: resolved.maximumBodyBytes,
      isInterrupted: interruption(request, deadline))
    return (format, query, hints)
  }

  /// Bodies up to this size are read in a few milliseconds, whatever they say.
  private static let uninterruptedBytes = 256 << 10

  /// When reading a request's body is given up; nil where that is over before anybody could ask.
  static func interruption(_ request: Request, _ deadline: ContinuousClock.Instant?) -> Interruption? {
    guard request.body.count > uninterruptedBytes else { return nil }
    return mustStop(request, deadline)
  }

  /// Whether the client is gone or the time is over.
  static func mustStop(_ request: Request, _ deadline: ContinuousClock.Instant?) -> Interruption {
    let isAbandoned = request.isAbandoned
    let isOverdue = isOverdue(deadline)
    return { isAbandoned() || isOverdue() }
  }

  /// Whether the time is over; never where there is no deadline.
  static func isOverdue(_ deadline: ContinuousClock.Instant?) -> @Sendable () -> Bool {
    { deadline.map { ContinuousClock.now >= $0 } ?? false }
  }

  /// Has the request hold memory before it takes it.
  static func use(_ bytes: Int, in request: Request) throws(Problem) {
    switch request.useMemory(bytes) {
    case .granted: break
    case .exceeds(let limit):
      throw Problem(
        .bodyTooLarge,
        "computing this takes up to \(bytes) bytes of memory, and there are \(limit); send fewer or smaller tensors, "
          + "or raise --max-in-flight-bytes")
    case .notNow:
      throw Problem(
        .overloaded,
        "other requests hold the memory that this one needs; --max-in-flight-bytes sets the limit",
        fields: Problem.retryAfter)
    }
  }

  /// The same for tensors that will be copied into another order of axes.
  static func useReordered(
    _ document: TensorDocument, beside decodedBytes: inout Int, in request: Request
  ) throws(Problem) {
    let bytes = document.reorderedBytes
    guard bytes > 0 else { return }
    decodedBytes += bytes
    try use(decodedBytes, in: request)
  }

  private static func decode(
    _ request: Request, as format: any TensorFormat.Type, _ hints: DecodingHints, _ query: QueryParameters
  ) throws(Problem) -> TensorDocument {
    var document: TensorDocument
    do throws(TensorFormatError) {
      document = try format.decode(request.body[...], hints)
    } catch {
      var error = error
      if format.name != JSONTensorFormat.name { error.message += BodyFormat.alteringHint(request) ?? "" }
      throw Problem(error)
    }
    if format.name == NPYFormat.name, query.tensorName == nil, let name = document.tensors.names.first,
      case .one(let tensor)? = document.tensors[name]
    {
      try AmbiguousReading.refuseUnnamed(tensor, readAs: name)
    }
    try query.merge(into: &document.parameters)
    return document
  }
}

extension Reservation {
  /// For an HTTP request whose body took `decodedBytes` to decode.
  init(_ request: Request, decodedBytes: Int) {
    self.init(decodedBytes: decodedBytes, threads: request.threadCount) { bytes throws(Problem) in
      try OperationHandler.use(bytes, in: request)
    }
  }
}

extension RunContext {
  /// For an HTTP request that has until `deadline`.
  init(models: ModelSet, _ request: Request, deadline: ContinuousClock.Instant?) {
    self.init(
      models: models, isAbandoned: request.isAbandoned,
      isOverdue: OperationHandler.isOverdue(deadline),
      sharing: WorkSharing(request.share))
  }
}
