import HTTP1

/// How long each phase of one request took, for the `Server-Timing` header (W3C Server Timing).
///
/// Confined to the thread that answers the request.
final class ServerTiming {
  private(set) var phases: [(name: String, duration: Duration)] = []

  func measure<Result>(_ name: String, _ body: () throws(Problem) -> Result) throws(Problem) -> Result {
    let start = ContinuousClock.now
    defer { phases.append((name, ContinuousClock.now - start)) }
    return try body()
  }

  func record(_ name: String, _ duration: Duration) { phases.append((name, duration)) }

  /// `decode;dur=0.041, compute;dur=0.733`: milliseconds with three decimals.
  var fieldValue: String {
    phases.map { "\($0.name);dur=\(Self.milliseconds($0.duration))" }.joined(separator: ", ")
  }

  static func milliseconds(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let microseconds = max(0, seconds &* 1_000_000 &+ attoseconds / 1_000_000_000_000)
    let fraction = String(microseconds % 1000)
    return "\(microseconds / 1000).\(String(repeating: "0", count: 3 - fraction.utf8.count))\(fraction)"
  }
}
