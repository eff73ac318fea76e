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

    public init(maximumBodyBytes: Int = 64 << 20, models: ModelStore = ModelStore()) {
      self.maximumBodyBytes = maximumBodyBytes
      self.models = models
    }
  }

  private let configuration: Configuration
  private let router: Router
  public let metrics: Metrics
  private let accessLog: AccessLog?

  public init(
    _ configuration: Configuration = Configuration(), lifecycle: Lifecycle, metrics: Metrics,
    accessLog: AccessLog? = nil
  ) {
    self.configuration = configuration
    self.metrics = metrics
    self.accessLog = accessLog
    router = Router(Endpoints.all(lifecycle: lifecycle, metrics: metrics, models: configuration.models))
  }

  /// Method and path of every endpoint, for the contract test.
  public static var routes: [(method: String, route: String)] {
    Endpoints.all(lifecycle: Lifecycle(), metrics: Metrics(), models: ModelStore()).map {
      ($0.method, $0.route)
    }
  }

  // MARK: Responder

  public func admit(_ head: RequestHead, framing: BodyFraming) -> Admission {
    do throws(Problem) {
      // Before everything else: a stranger learns neither what exists nor what it takes.
      if let keys = configuration.apiKeys, !isOpen(head) { try keys.check(head) }
      let match = try router.match(head)
      guard case .endpoint(let endpoint, _) = match, endpoint.kind == .operation else {
        let isProbe = if case .endpoint(let endpoint, _) = match { endpoint.kind == .probe } else { false }
        // A body has no meaning here, but a small one does no harm.
        return .accept(
          Acceptance(
            maximumBodyBytes: Self.ignoredBodyBytes, execution: .inline, isExemptFromLimits: isProbe))
      }
      let coding = try BodyFormat.checkHead(head, framing: framing)
      if case .length(let length) = framing, length > configuration.maximumBodyBytes {
        throw Problem(.bodyTooLarge, Problem.bodyLimit(configuration.maximumBodyBytes))
      }
      return .accept(
        Acceptance(
          maximumBodyBytes: configuration.maximumBodyBytes,
          // What a few coded bytes become is not known yet.
          execution: coding == nil && OperationCost.isTiny(head, framing) ? .inline : .pooled,
          contentCoding: coding))
    } catch {
      return .reject(stamped(error, RequestIdentity(head), head))
    }
  }

  /// Probes and metrics are asked by machines of the operator that hold no key, and browsers send none with the
  /// question whether they may.
  private func isOpen(_ head: RequestHead) -> Bool {
    router.kind(of: head) == .probe || configuration.crossOrigin?.isPreflight(head) == true
  }

  private static let ignoredBodyBytes = 4 << 10

  public func mayRespondInline(to request: Request) -> Bool { OperationCost.isCheap(request.body) }

  public func respond(to request: Request) -> Response {
    let identity = RequestIdentity(request.head)
    let timing = ServerTiming()
    timing.record("receive", request.receiveDuration)
    var response: Response
    var allowedMethods: String?
    do throws(Problem) {
      switch try router.match(request.head) {
      case .endpoint(let endpoint, let variable):
        response = try endpoint.handle(
          Endpoint.Context(request: request, pathVariable: variable, timing: timing, metrics: metrics))
      case .options(let allowed):
        response = Response(status: 204, fields: [Response.Field("Allow", allowed)])
        if configuration.crossOrigin?.isPreflight(request.head) == true { allowedMethods = allowed }
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
    return stamped(Problem(refusal), RequestIdentity(head), head)
  }

  public func finished(_ exchange: Exchange) {
    let route = exchange.head.flatMap { router.route(of: $0) }
    metrics.record(exchange, route: route)
    let isProbe = exchange.head.flatMap { router.endpoint(of: $0) }?.kind == .probe
    if let accessLog, !isProbe { accessLog.record(exchange, route: route) }
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
    identity.stamp(&response)
    // The key's name, for the access log; the key itself stays in the head.
    if let head, let name = configuration.apiKeys?.name(of: head) {
      response.annotations.append(Response.Field("key", name))
    }
  }
}
