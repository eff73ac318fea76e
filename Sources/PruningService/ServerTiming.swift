import HTTP1

/// How long each phase of one request took, for the `Server-Timing` header (W3C Server Timing).
///
/// Confined to the thread that answers the request.
final class ServerTiming {
  private var lines: [UInt8] = []

  func measure<Result>(
    _ name: StaticString, _ body: () throws(Problem) -> Result
  ) throws(Problem) -> Result {
    let start = ContinuousClock.now
    defer { record(name, nanoseconds: (ContinuousClock.now - start).wholeNanoseconds) }
    return try body()
  }

  /// Appends `decode;dur=0.041`: milliseconds with three decimals.
  func record(_ name: StaticString, nanoseconds: Int64) {
    lines.append(contentsOf: (lines.isEmpty ? "" : ", ").utf8)
    name.withUTF8Buffer { lines.append(contentsOf: $0) }
    lines.append(contentsOf: ";dur=".utf8)
    Decimal.appendMilliseconds(nanoseconds, to: &lines)
  }

  /// Writes the field line.
  func write(to fieldLines: inout [UInt8]) {
    fieldLines.append(contentsOf: "Server-Timing: ".utf8)
    fieldLines.append(contentsOf: lines)
    fieldLines.append(contentsOf: "\r\n".utf8)
  }
}
