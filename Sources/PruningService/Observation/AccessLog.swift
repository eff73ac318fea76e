import HTTP1
import JSON

/// One line per answered request, as logfmt text or as JSON.
///
/// The path is the matched route, never the raw target, and no header, key or tensor value is ever logged.
public struct AccessLog: Sendable {
  public enum Format: String, Sendable, CaseIterable {
    case text
    case json
  }

  private let format: Format
  private let timestamp: @Sendable () -> String
  private let write: @Sendable ([UInt8]) -> Void

  /// - Parameters:
  ///   - timestamp: the time now, as it should stand in the line.
  ///   - write: takes whole lines, each with its line feed; called from every event loop.
  public init(
    format: Format, timestamp: @escaping @Sendable () -> String, write: @escaping @Sendable ([UInt8]) -> Void
  ) {
    self.format = format
    self.timestamp = timestamp
    self.write = write
  }

  func record(_ exchange: Exchange, route: String?) {
    var members: JSONObject = [
      "time": .string(timestamp()), "level": "info", "message": "request",
    ]
    for annotation in exchange.annotations { members[annotation.name] = .string(annotation.value) }
    members["method"] = .string(
      exchange.head.map { FieldValue.sanitized($0.method, maximumBytes: 16) } ?? "-")
    members["route"] = .string(route ?? "-")
    members["status"] = .integer(exchange.status)
    members["bytes_in"] = .integer(exchange.bodyBytesReceived)
    members["bytes_out"] = .integer(exchange.bytesSent)
    for (name, duration) in [
      ("receive_ms", exchange.receive), ("respond_ms", exchange.respond), ("write_ms", exchange.write),
    ] {
      members[name] = .number(Double(ServerTiming.milliseconds(duration)) ?? 0)
    }
    members["remote"] = .string(exchange.remoteAddress)
    members["connection"] = .integer(Int(truncatingIfNeeded: exchange.connection))
    if exchange.isBroken { members["broken"] = true }
    write(format == .json ? JSONValue.object(members).serialized() + [0x0a] : Self.text(members))
  }

  private static func text(_ members: JSONObject) -> [UInt8] {
    var line = members["time"]?.stringValue ?? ""
    line += " info request"
    for member in members.members.dropFirst(3) {
      let value = member.value.stringValue ?? "\(member.value)"
      line += " \(member.name)=" + (isBare(value) ? value : "\(JSONValue.string(value))")
    }
    return Array((line + "\n").utf8)
  }

  /// Whether a value is one word to every reader of logfmt: visible ASCII without `=`, quotes and backslashes.
  private static func isBare(_ value: String) -> Bool {
    !value.isEmpty
      && value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x3d && $0 != 0x5c }
  }
}
