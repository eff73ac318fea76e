public import HTTP1

/// The whole service above the socket: routes requests, answers problems, keeps count.
public struct Service: Responder {
  public struct Configuration: Sendable {
    /// The largest request body, decoded.
    public var maximumBodyBytes: Int
    /// What the operations that are kept for one head take at most.
    public var maximumKeptBytes = 1 << 20
    /// Whether text responses are compressed, with gzip or deflate, for clients that prefer it.
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
    /// The time of day in milliseconds since 1970, which statistics tell.
    public var epochMilliseconds: @Sendable () -> Int = { 0 }

    public init(maximumBodyBytes: Int = 64 << 20, models: ModelStore = ModelStore()) {
      self.maximumBodyBytes = maximumBodyBytes
      self.models = models
    }
  }

  private let configuration: Configuration
  private let router: Router
  public let metrics: Metrics
  private let accessLog: AccessLog?
  private let tracer: Tracer?

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
    accessLog: AccessLog? = nil, tracer: Tracer? = nil, exposure: Exposure = .all
  ) {
    self.configuration = configuration
    self.metrics = metrics
    self.accessLog = accessLog
    self.tracer = tracer
    router = Router(
      Endpoints.all(
        lifecycle: lifecycle, metrics: metrics, models: configuration.models,
        computeTimeout: configuration.computeTimeout,
        statistics: InferenceStatistics(epochMilliseconds: configuration.epochMilliseconds),
        regions: configuration.sharedRegions),
      where: exposure.includes)
    metrics.count(routes: router.routes)
  }

  // MARK: Responder

  public func resolve(_ head: RequestHead, framing: BodyFraming) -> (any AnyObject & Sendable)? {
    ResolvedHead(
      head, framing: framing, router: router, maximumBodyBytes: configuration.maximumBodyBytes,
      maximumKeptBytes: configuration.maximumKeptBytes)
  }

  public func heldBytes(of head: RequestHead) -> Int {
    head.resolution == nil ? 0 : ResolvedHead.ownBytes + QueryParameters.heldBytes(of: head.query)
  }

  /// What the transport kept, or else found now.
  private func resolved(_ head: RequestHead, framing: BodyFraming = .none) -> ResolvedHead {
    if let resolved = head.resolution as? ResolvedHead { return resolved }
    return ResolvedHead(
      head, framing: framing, router: router, maximumBodyBytes: configuration.maximumBodyBytes,
      maximumKeptBytes: configuration.maximumKeptBytes)
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

  public func prepare(_ request: inout Request) -> ComputeEstimate? {
    let resolved = self.resolved(request.head)
    guard case .success(.endpoint(let endpoint, _)) = resolved.match, let prepare = endpoint.prepare else {
      return nil
    }
    do throws(Problem) {
      guard let prepared = try prepare(request, resolved) else { return nil }
      request.preparation = prepared
      return ComputeEstimate(
        nanoseconds: prepared.operation.cost.nanoseconds,
        memoryBytes: prepared.operation.memoryBytes(
          decodedBytes: prepared.decodedBytes, threads: request.threadCount,
          models: configuration.models.current))
    } catch {
      request.preparation = RefusedRequest(error)
      return ComputeEstimate(nanoseconds: 0, memoryBytes: 0)
    }
  }

  public func respondToStart(
    of request: Request, bodyByteCount: Int, into response: inout Response
  ) -> Bool {
    guard let resolved = request.head.resolution as? ResolvedHead,
      let prepared = resolved.operations.find(start: request.body, bodyByteCount: bodyByteCount)
    else { return false }
    var request = request
    request.preparation = prepared
    respond(to: request, into: &response)
    return true
  }

  public func sharedMemory(named name: String) throws(SharedMemoryError) -> SharedExtent? {
    try configuration.sharedRegions.region(name)?.extent
  }

  public func respond(to request: Request, into response: inout Response) {
    let resolved = self.resolved(request.head)
    let given = RequestIdentity.Given(request.head)
    var identity = RequestIdentity(given)
    let timing = ServerTiming()
    timing.record("receive", nanoseconds: request.receiveNanoseconds)
    var allowedMethods: String?
    do throws(Problem) {
      if let refused = request.preparation as? RefusedRequest { throw refused.problem }
      switch try resolved.match.get() {
      case .endpoint(let endpoint, let variables):
        try endpoint.answer(
          Endpoint.Context(
            request: request, resolved: resolved, pathVariables: variables, timing: timing, metrics: metrics,
            prepared: request.preparation as? PreparedRequest, isLogged: accessLog != nil || tracer != nil),
          &response)
      case .options(let allowed):
        response.status = 204
        response.fields.append(Response.Field("Allow", allowed))
        if configuration.crossOrigin?.allowsPreflight(request.head) == true { allowedMethods = allowed }
      }
    } catch {
      response = error.response(requestID: identity.requestID, to: request.head)
    }
    if configuration.compressesResponses {
      let start = ContinuousClock.now
      if let coding = ResponseCoding.apply(to: &response, for: request.head) {
        timing.record(
          coding == .gzip ? "gzip" : "deflate", nanoseconds: (ContinuousClock.now - start).wholeNanoseconds)
      }
    }
    timing.write(to: &response.fieldLines)
    if tracer != nil {
      timing.forEach { name, nanoseconds in
        response.annotations.append(Response.Field(Span.phasePrefix + name, String(nanoseconds)))
      }
    }
    stamp(&response, &identity, request.head, allowedMethods: allowedMethods)
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
    if let tracer, resolved?.isProbe != true { tracer.record(exchange, route: resolved?.place?.route) }
  }

  private func stamped(_ problem: Problem, _ identity: RequestIdentity, _ head: RequestHead?) -> Response {
    var identity = identity
    var response = problem.response(requestID: identity.requestID, to: head)
    stamp(&response, &identity, head)
    return response
  }

  /// What every answer says, whatever it is.
  private func stamp(
    _ response: inout Response, _ identity: inout RequestIdentity, _ head: RequestHead?,
    allowedMethods: String? = nil
  ) {
    configuration.crossOrigin?.stamp(&response, for: head, allowedMethods: allowedMethods)
    response.fieldLines.append(contentsOf: "X-Content-Type-Options: nosniff\r\n".utf8)
    identity.write(to: &response.fieldLines)
    guard accessLog != nil || tracer != nil else { return }
    identity.annotate(&response)
    if let head { annotate(&response, head) }
  }

  /// The key's name, for the access log; the key itself stays in the head.
  private func annotate(_ response: inout Response, _ head: RequestHead) {
    if let name = configuration.apiKeys?.name(of: head) {
      response.annotations.append(Response.Field("key", name))
    }
  }
}

/// A request that was rejected while it was prepared.
private final class RefusedRequest: Sendable {
  let problem: Problem

  init(_ problem: Problem) { self.problem = problem }
}
