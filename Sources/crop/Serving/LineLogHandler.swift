import JSON
import Logging

/// One line per message: `time level message key=value ...`, or the same as a JSON object.
struct LineLogHandler: LogHandler {
  private let format: ServerConfiguration.LogFormat
  private let sink: LogSink
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  init(format: ServerConfiguration.LogFormat, level: Logger.Level, sink: LogSink) {
    self.format = format
    self.sink = sink
    logLevel = level
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let merged = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
    switch format {
    case .text:
      let pairs = merged.map { " \($0.key)=\(Self.quoted("\($0.value)"))" }.joined()
      sink.write(Array("\(Timestamp.now()) \(event.level) \(event.message)\(pairs)\n".utf8), isUrgent: true)
    case .json:
      var members: JSONObject = [
        "time": .string(Timestamp.now()), "level": .string(event.level.rawValue),
        "message": .string("\(event.message)"),
      ]
      for (key, value) in merged { members[key] = .string("\(value)") }
      sink.write(JSONValue.object(members).serialized() + [0x0a], isUrgent: true)
    }
  }

  private static func quoted(_ text: String) -> String {
    text.utf8.contains { $0 <= 0x20 || $0 == 0x22 } ? "\(JSONValue.string(text))" : text
  }
}
