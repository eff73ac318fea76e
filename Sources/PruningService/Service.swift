public import HTTP1

/// The whole service above the socket: routes requests, answers problems, keeps count.
public struct Service: Responder {
  public struct Configuration: Sendable {
    /// The largest request body, decoded.
    public var maximumBodyBytes: Int
    /// Whether text answers go as gzip to who prefers that.
    public var compressesResponses = false
    /// The keys that open everything but probes and metrics; nil leaves all open.
    public var apiKeys: APIKeys?
    /// The web pages that may read answers; nil says nothing to browsers.
    public var crossOrigin: CrossOrigin?
    /// The learned models that requests may name.
    public var models: ModelStore
    /// Shared memory that requests may name.
    public var sharedRegions = SharedRegions()
    /// How long a request may be read and computed; nil sets no limit.
    public var computeTimeout: Duration?

    public init(maximumBodyBytes: Int = 64 << 20, models: ModelStore = ModelStore()) {
      self.maximumBodyBytes = maximumBodyBytes
      self.models = models
    }
  }

  private let configuration: Configuration
  private let router: Router
  public let metrics: Metrics
  private let accessLog: AccessLog?

  /// Which endpoints a listener answers; the others are 404 there.
  public enum Exposure: Sendable {
    case all
    /// Everything but metrics, which have a listener of their own.
    case allButMetrics
    /// Probes and metrics alone.
    case administration

    func includes(_ endpoint: Endpoint) -> Bool {
      switch self {
      case .all: true
      case .allButMetrics: endpoint.route != Endpoints.metricsRoute
      case .administration: endpoint.kind == .probe
      }
    }
  }

  public init(
    _ configuration: Configuration = Configuration(), lifecycle: Lifecycle, metrics: Metrics,
    accessLog: AccessLog? = nil, exposure: Exposure = .all
  ) {
    self.configuration = configuration
    self.metrics = metrics
    self.accessLog = accessLog
    router = Router(
      Endpoints.all(
        lifecycle: lifecycle, metrics: metrics, models: configuration.models,
        computeTimeout: configuration.computeTimeout),
      where: exposure.includes)
    metrics.count(routes: router.routes)
  }

  /// Method and path of every endpoint, for the contract test.
  public static var routes: [(method: String, route: String)] {
    Endpoints.all(lifecycle: Lifecycle(), metrics: Metrics(), models: ModelStore()).map {
      ($0.method, $0.route)
    }
  }

  // MARK: Responder

  public func resolve(_ head: RequestHead, framing: BodyFraming) -> (any AnyObject & Sendable)? {
    // What is told to browsers, and whether an answer is compressed, depends on more than its form.
    ResolvedHead(
      head, framing: framing, router: router, maximumBodyBytes: configuration.maximumBodyBytes,
      mayRemember: configuration.crossOrigin == nil && !configuration.compressesResponses)
  }

  /// What the transport kept, or else found now.
  private func resolved(_ head: RequestHead, framing: BodyFraming = .none) -> ResolvedHead {
    if let resolved = head.resolution as? ResolvedHead { return resolved }
    return ResolvedHead(
      head, framing: framing, router: router, maximumBodyBytes: configuration.maximumBodyBytes,
      mayRemember: false)
  }

  public func admit(_ head: RequestHead, framing: BodyFraming) -> Admission {
    let resolved = self.resolved(head, framing: framing)
    do throws(Problem) {
      // Before everything else: a stranger learns neither what exists nor what it takes.
      if let keys = configuration.apiKeys, !isOpen(head, resolved) { try keys.check(head) }
      return .accept(try resolved.admission.get())
    } catch {
      return .reject(stamped(error, RequestIdentity(RequestIdentity.Given(head)), head))
    }
  }

  /// Whether a request needs no key: probes and metrics, pages, the default check of HAProxy (`OPTIONS *`), and the
  /// preflight that a browser sends for an existing path and an allowed origin.
  private func isOpen(_ head: RequestHead, _ resolved: ResolvedHead) -> Bool {
    guard let place = resolved.place else { return head.method == "OPTIONS" && head.path == "*" }
    if place.kind == .probe || place.kind == .page { return true }
    guard head.method == "OPTIONS" else { return false }
    return configuration.crossOrigin?.allowsPreflight(head) == true
  }

  public func mayRespondInline(to request: Request, as execution: Acceptance.Execution) -> Bool {
    execution == .inlineWhenAlone ? OperationCost.isBrief(request.body) : OperationCost.isCheap(request.body)
  }

  public func reader(for head: RequestHead, length: Int) -> (any BodyReader)? {
    (head.resolution as? ResolvedHead)?.memory?.reader(bodyByteCount: length)
  }

  public func respondAtOnce(
    to request: Request, reader: (any BodyReader)?, into response: inout Response
  ) -> Bool {
    answerAtOnce(request, into: &response) { memory, response in
      memory.answer(request.body, reader as? ScoreReader, into: &response)
    }
  }

  public func respondToStart(
    of request: Request, bodyByteCount: Int, into response: inout Response
  ) -> Bool {
    answerAtOnce(request, into: &response) { memory, response in
      memory.answer(start: request.body, bodyByteCount: bodyByteCount, into: &response)
    }
  }

  public func sharedMemory(named name: String) throws(SharedMemoryError) -> SharedExtent? {
    try configuration.sharedRegions.region(name)?.extent
  }

  private func answerAtOnce(
    _ request: Request, into response: inout Response,
    _ remembered: (AnswerMemory, inout Response) -> AnswerMemory.Remembered?
  ) -> Bool {
    guard let memory = (request.head.resolution as? ResolvedHead)?.memory else { return false }
    let start = ContinuousClock.now
    guard let answer = remembered(memory, &response) else { return false }
    metrics.recordTokens(received: answer.received, kept: answer.kept)
    response.fieldLines.append(
      contentsOf:
        "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nServer-Timing: receive;dur="
        .utf8)
    Decimal.appendMilliseconds(request.receiveNanoseconds, to: &response.fieldLines)
    response.fieldLines.append(contentsOf: ", compute;dur=".utf8)
    Decimal.appendMilliseconds((ContinuousClock.now - start).wholeNanoseconds, to: &response.fieldLines)
    response.fieldLines.append(contentsOf: "\r\nX-Request-Id: ".utf8)
    let given = RequestIdentity.Given(request.head)
    let idStart = response.fieldLines.count
    if let id = given.requestID {
      response.fieldLines.append(contentsOf: id)
    } else {
      RequestIdentity.appendFresh(to: &response.fieldLines)
    }
    if accessLog != nil {
      let id = String(decoding: response.fieldLines[idStart...], as: UTF8.self)
      response.annotations = [Response.Field("id", id)] + answer.annotations
      if let trace = given.traceID { response.annotations.append(Response.Field("trace", trace)) }
      annotate(&response, request.head)
    }
    if let traceparent = given.traceparent {
      response.fieldLines.append(contentsOf: "\r\ntraceparent: ".utf8)
      response.fieldLines.append(contentsOf: traceparent)
    }
    response.fieldLines.append(contentsOf: "\r\n".utf8)
    return true
  }

  public func respond(to request: Request) -> Response {
    let resolved = self.resolved(request.head)
    let identity = RequestIdentity(RequestIdentity.Given(request.head))
    let timing = ServerTiming()
    timing.record("receive", .nanoseconds(request.receiveNanoseconds))
    var response: Response
    var allowedMethods: String?
    do throws(Problem) {
      switch try resolved.match.get() {
      case .endpoint(let endpoint, let variable):
        response = try endpoint.handle(
          Endpoint.Context(
            request: request, pathVariable: variable, timing: timing, metrics: metrics,
            memory: resolved.memory, maximumBodyBytes: configuration.maximumBodyBytes))
      case .options(let allowed):
        response = Response(status: 204, fields: [Response.Field("Allow", allowed)])
        if configuration.crossOrigin?.allowsPreflight(request.head) == true { allowedMethods = allowed }
      }
    } catch {
      response = error.response(requestID: identity.requestID)
    }
    if configuration.compressesResponses {
      let start = ContinuousClock.now
      if ResponseCoding.apply(to: &response, for: request.head) {
        timing.record("gzip", ContinuousClock.now - start)
      }
    }
    response.fields.append(Response.Field("Server-Timing", timing.fieldValue))
    stamp(&response, identity, request.head, allowedMethods: allowedMethods)
    return response
  }

  public func refuse(_ refusal: Refusal, head: RequestHead?) -> Response {
    metrics.record(refusal)
    return stamped(Problem(refusal), RequestIdentity(RequestIdentity.Given(head)), head)
  }

  public func finished(_ exchange: Exchange) {
    let resolved = exchange.head.map { self.resolved($0) }
    metrics.record(
      exchange, routeIndex: resolved?.place?.index, methodIndex: resolved?.methodIndex ?? Metrics.noMethod)
    if let accessLog, resolved?.isProbe != true {
      accessLog.record(exchange, route: resolved?.place?.route)
    }
  }

  private func stamped(_ problem: Problem, _ identity: RequestIdentity, _ head: RequestHead?) -> Response {
    var response = problem.response(requestID: identity.requestID)
    stamp(&response, identity, head)
    return response
  }

  /// What every answer says, whatever it is.
  private func stamp(
    _ response: inout Response, _ identity: RequestIdentity, _ head: RequestHead?,
    allowedMethods: String? = nil
  ) {
    configuration.crossOrigin?.stamp(&response, for: head, allowedMethods: allowedMethods)
    response.fields.append(Response.Field("X-Content-Type-Options", "nosniff"))
    identity.stamp(&response)
    if let head { annotate(&response, head) }
  }

  /// The key's name, for the access log; the key itself stays in the head.
  private func annotate(_ response: inout Response, _ head: RequestHead) {
    if let name = configuration.apiKeys?.name(of: head) {
      response.annotations.append(Response.Field("key", name))
    }
  }
}
