import HTTP1

/// Which thread computes a request.
enum Placement {
  /// The event loop that received it: what computes nothing.
  case loop
  /// The same, for as long as an ``Attempt`` may take: an estimate may be wrong, and others wait meanwhile.
  case attempt
  /// A thread of the compute pool.
  case pool

  /// A hand-over to another thread and back costs about as much.
  static let briefNanoseconds = 50_000.0
  /// What others may wait for where handing over gains nothing.
  static let shortNanoseconds = 300_000.0
  /// What is worth an attempt on a loop that nobody else waits for.
  static let attemptNanoseconds = 2_500_000.0
}

extension EventLoop {
  /// Prepares a request, and says where it is best computed.
  func placement(of request: inout Request, _ acceptance: Acceptance) -> Placement {
    switch acceptance.execution {
    case .inline: return .loop
    case .pooled: return .pool
    case .prepared: break
    }
    // A bulk loop leaves all computing to threads of lower priority than its own.
    guard !isBulk, let estimate = responder.prepare(&request) else { return .pool }
    let time = estimate.nanoseconds
    if time <= Placement.briefNanoseconds { return .attempt }
    if time <= Placement.shortNanoseconds, gainsNothingFromPool { return .attempt }
    if time <= Placement.attemptNanoseconds, servesOneConnection { return .attempt }
    return .pool
  }
}
