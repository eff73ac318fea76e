import HTTP1

/// How long each phase of one request took, for the `Server-Timing` header (W3C Server Timing).
///
/// Confined to the thread that answers the request.
final class ServerTiming {
  private static let maximumCount = 5
  private var names = InlineArray<5, StaticString>(repeating: "")
  private var nanoseconds = InlineArray<5, Int64>(repeating: 0)
  private var count = 0

  func measure<Result>(
    _ name: StaticString, _ body: () throws(Problem) -> Result
  ) throws(Problem) -> Result {
    let start = ContinuousClock.now
    defer { record(name, nanoseconds: (ContinuousClock.now - start).wholeNanoseconds) }
    return try body()
  }

  func record(_ name: StaticString, nanoseconds duration: Int64) {
    precondition(count < Self.maximumCount, "a request has no more phases")
    names[count] = name
    nanoseconds[count] = duration
    count += 1
  }

  /// Every phase in the order in which they ended.
  func forEach(_ body: (_ name: String, _ nanoseconds: Int64) -> Void) {
    for index in 0..<count { body(names[index].description, nanoseconds[index]) }
  }

  /// How long a phase took; zero where there was none.
  func duration(of name: StaticString) -> Duration {
    for index in 0..<count where names[index].description == name.description {
      return .nanoseconds(nanoseconds[index])
    }
    return .zero
  }

  /// Writes `Server-Timing: decode;dur=0.041, compute;dur=0.733`: milliseconds with three decimals.
  func write(to fieldLines: inout [UInt8]) {
    fieldLines.append(contentsOf: "Server-Timing: ".utf8)
    for index in 0..<count {
      if index > 0 { fieldLines.append(contentsOf: ", ".utf8) }
      names[index].withUTF8Buffer { fieldLines.append(contentsOf: $0) }
      fieldLines.append(contentsOf: ";dur=".utf8)
      Decimal.appendMilliseconds(nanoseconds[index], to: &fieldLines)
    }
    fieldLines.append(contentsOf: "\r\n".utf8)
  }
}
