import HTTP1

/// What a head asks of the service, found once: where it leads, and how its body comes.
///
/// Everything here follows from the head, but for its varying fields, and from settings that never change. Keys,
/// readiness and load do not stand here, because a head that comes again is not resolved again; nor does the
/// request's identity, which is another one each time.
final class ResolvedHead: Sendable {
  let match: Result<Router.Match, Problem>
  /// By path alone: the one thing of a request that becomes a label or stands in the log.
  let place: Router.Place?
  /// Of the method's label.
  let methodIndex: Int
  /// Answered by a probe: not logged.
  let isProbe: Bool
  let admission: Result<Acceptance, Problem>
  /// Empty for what is no operation, like the declaration: reading either takes time.
  let query: Result<QueryParameters, Problem>
  let declaration: Result<BodyFormat.Declaration, Problem>
  /// The largest body, decoded.
  let maximumBodyBytes: Int
  /// Operations prepared for earlier requests of this head.
  let operations: PreparedOperations

  /// - Parameter maximumKeptBytes: of ``operations``.
  init(
    _ head: RequestHead, framing: BodyFraming, router: Router, maximumBodyBytes: Int, maximumKeptBytes: Int
  ) {
    operations = PreparedOperations(maximumBytes: maximumKeptBytes)
    let match = Result { () throws(Problem) in try router.match(head) }
    self.match = match
    place = router.place(of: head)
    methodIndex = Metrics.index(ofMethod: head.method)
    isProbe = (try? match.get())?.isProbe ?? false
    let isOperation = (try? match.get())?.isOperation ?? false
    let declaration = Result { () throws(Problem) in try BodyFormat.Declaration(isOperation ? head : nil) }
    self.declaration = declaration
    admission = Result { () throws(Problem) in
      try Self.acceptance(of: try match.get(), head, framing, declaration, maximumBodyBytes)
    }
    self.maximumBodyBytes = maximumBodyBytes
    query = Result { () throws(Problem) in try QueryParameters(isOperation ? head.query : nil) }
  }

  /// What it takes without its query.
  static let ownBytes = 1 << 10

  private static let ignoredBodyBytes = 4 << 10

  private static func acceptance(
    of match: Router.Match, _ head: RequestHead, _ framing: BodyFraming,
    _ declaration: Result<BodyFormat.Declaration, Problem>, _ maximumBodyBytes: Int
  ) throws(Problem) -> Acceptance {
    guard case .endpoint(let endpoint, _) = match, endpoint.kind == .operation else {
      // A body has no meaning here, but a small one does no harm.
      return Acceptance(
        maximumBodyBytes: ignoredBodyBytes, execution: .inline, isExemptFromLimits: match.isProbe)
    }
    let coding = try BodyFormat.checkHead(head, framing: framing, declaration)
    if let length = framing.length, length > maximumBodyBytes {
      throw Problem(.bodyTooLarge, Problem.bodyLimit(maximumBodyBytes))
    }
    return Acceptance(
      maximumBodyBytes: maximumBodyBytes, execution: endpoint.prepare == nil ? .pooled : .prepared,
      contentCoding: coding)
  }
}
