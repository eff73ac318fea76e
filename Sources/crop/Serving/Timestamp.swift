import LibC
import Locking

/// Wall-clock time for log lines: RFC 3339 in UTC with milliseconds, `2025-01-31T08:15:30.042Z`.
enum Timestamp {
  /// The text up to the point is made once a second, however many lines there are.
  private struct Second {
    var number = Int.min
    var text: [UInt8] = []
  }

  private static let latest = Locked(Second())

  static func now() -> String {
    var text: [UInt8] = []
    append(to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Since 1970.
  static func epochMilliseconds() -> Int { Int(nanosecondsSince1970 / 1_000_000) }

  static var nanosecondsSince1970: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }

  static func append(to line: inout [UInt8]) {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    latest.withLock { second in
      if second.number != time.tv_sec { second = Second(number: time.tv_sec, text: text(of: time.tv_sec)) }
      line.append(contentsOf: second.text)
    }
    line.append(contentsOf: ".\(padded(time.tv_nsec / 1_000_000, 3))Z".utf8)
  }

  private static func text(of seconds: Int) -> [UInt8] {
    var seconds = seconds
    var parts = tm()
    gmtime_r(&seconds, &parts)
    let day = [
      padded(Int(parts.tm_year) + 1900, 4), padded(Int(parts.tm_mon) + 1, 2), padded(Int(parts.tm_mday), 2),
    ]
    let time = [padded(Int(parts.tm_hour), 2), padded(Int(parts.tm_min), 2), padded(Int(parts.tm_sec), 2)]
    return Array("\(day.joined(separator: "-"))T\(time.joined(separator: ":"))".utf8)
  }

  private static func padded(_ number: Int, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
  }
}
