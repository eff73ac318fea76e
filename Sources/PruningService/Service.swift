public import HTTP1

/// The whole service above the socket: routes requests, answers problems, keeps count.
public struct Service: Responder {
  public struct Configuration: Sendable {
    /// The largest request body, decoded.
    public var maximumBodyBytes: Int

    public init(maximumBodyBytes: Int = 64 << 20) { self.maximumBodyBytes = maximumBodyBytes }
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
    router = Router(Endpoints.all(lifecycle: lifecycle, metrics: metrics))
  }

  /// Method and path of every endpoint, for the contract test.
  public static var routes: [(method: String, route: String)] {
    Endpoints.all(lifecycle: Lifecycle(), metrics: Metrics()).map { ($0.method, $0.route) }
  }

  // MARK: Responder

  public func admit(_ head: RequestHead, framing: BodyFraming) -> Admission {
    do throws(Problem) {
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
      return .reject(stamped(error, RequestIdentity(head)))
    }
  }

  private static let ignoredBodyBytes = 4 << 10

  public func mayRespondInline(to request: Request) -> Bool { OperationCost.isCheap(request.body) }

  public func respond(to request: Request) -> Response {
    let identity = RequestIdentity(request.head)
    let timing = ServerTiming()
    timing.record("receive", request.receiveDuration)
    var response: Response
    do throws(Problem) {
      switch try router.match(request.head) {
      case .endpoint(let endpoint, let variable):
        response = try endpoint.handle(
          Endpoint.Context(request: request, pathVariable: variable, timing: timing, metrics: metrics))
      case .options(let allowed):
        response = Response(status: 204, fields: [Response.Field("Allow", allowed)])
      }
    } catch {
      response = error.response(requestID: identity.requestID)
    }
    response.fields.append(Response.Field("Server-Timing", timing.fieldValue))
    identity.stamp(&response)
    return response
  }

  public func refuse(_ refusal: Refusal, head: RequestHead?) -> Response {
    metrics.record(refusal)
    return stamped(Problem(refusal), RequestIdentity(head))
  }

  public func finished(_ exchange: Exchange) {
    let route = exchange.head.flatMap { router.route(of: $0) }
    metrics.record(exchange, route: route)
    let isProbe = exchange.head.flatMap { router.endpoint(of: $0) }?.kind == .probe
    if let accessLog, !isProbe { accessLog.record(exchange, route: route) }
  }

  private func stamped(_ problem: Problem, _ identity: RequestIdentity) -> Response {
    var response = problem.response(requestID: identity.requestID)
    identity.stamp(&response)
    return response
  }
}
