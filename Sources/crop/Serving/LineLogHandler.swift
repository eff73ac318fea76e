import JSON
import Logging

/// One line per message: `time level message key=value ...`, or the same as a JSON object.
struct LineLogHandler: LogHandler {
  let format: ServerConfiguration.LogFormat
  var logLevel: Logger.Level
  let sink: LogSink
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let merged = metadata.merging(event.metadata ?? [:]) { $1 }
    sink.write(Self.line(format, event.level, "\(event.message)", merged), isUrgent: true)
  }

  /// A whole line, its metadata ordered by name.
  static func line(
    _ format: ServerConfiguration.LogFormat, _ level: Logger.Level, _ message: String,
    _ metadata: Logger.Metadata
  ) -> [UInt8] {
    let pairs = metadata.sorted { $0.key < $1.key }
    switch format {
    case .text:
      let text = pairs.map { " \($0.key)=\(quoted("\($0.value)"))" }.joined()
      return Array("\(Timestamp.now()) \(level) \(message)\(text)\n".utf8)
    case .json:
      var members: JSONObject = [
        "time": .string(Timestamp.now()), "level": .string(level.rawValue), "message": .string(message),
      ]
      for (key, value) in pairs { members[key] = json(value) }
      return JSONValue.object(members).serialized() + [0x0a]
    }
  }

  /// Numbers and truth values as such, so that a collector can compare them; whatever else as text.
  private static func json(_ value: Logger.MetadataValue) -> JSONValue {
    guard case .stringConvertible(let value) = value else { return .string("\(value)") }
    switch value {
    case let number as Int: return .integer(number)
    case let number as Double where number.isFinite: return .number(number)
    case let flag as Bool: return .bool(flag)
    default: return .string("\(value)")
    }
  }

  private static func quoted(_ text: String) -> String {
    text.utf8.contains { $0 <= 0x20 || $0 == 0x22 } ? "\(JSONValue.string(text))" : text
  }
}
