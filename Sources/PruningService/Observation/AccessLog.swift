public import HTTP1
import JSON

/// One line per answered request, as logfmt text or as JSON.
///
/// The path is the matched route; only one that matches none is logged as it was sent, without its query. No header but
/// the request and trace ids, no key and no body is logged. docs/operations.md explains every member.
public struct AccessLog: Sendable {
  public enum Format: String, Sendable, CaseIterable {
    case text
    case json
  }

  private let format: Format
  /// Nil where no proxy is trusted to say for whom it speaks.
  private let client: ForwardedClient?
  private let timestamp: @Sendable (inout [UInt8]) -> Void
  private let write: @Sendable ((inout [UInt8]) -> Void) -> Void

  /// - Parameters:
  ///   - client: finds the client behind trusted proxies; its address then stands in the line as well.
  ///   - timestamp: appends the time now, as it should stand in the line.
  ///   - write: hands out the end of the log, for a whole line with its line feed; called from every event loop.
  public init(
    format: Format, client: ForwardedClient? = nil,
    timestamp: @escaping @Sendable (inout [UInt8]) -> Void,
    write: @escaping @Sendable ((inout [UInt8]) -> Void) -> Void
  ) {
    self.format = format
    self.client = client
    self.timestamp = timestamp
    self.write = write
  }

  func record(_ exchange: Exchange, route: String?) {
    write { line in
      switch format {
      case .text:
        timestamp(&line)
        line.append(contentsOf: " info request".utf8)
      case .json:
        line.append(contentsOf: "{\"time\":\"".utf8)
        timestamp(&line)
        line.append(contentsOf: "\",\"level\":\"info\",\"message\":\"request\"".utf8)
      }
      append(exchange, route, to: &line)
      line.append(contentsOf: (format == .json ? "}\n" : "\n").utf8)
    }
  }

  private func append(_ exchange: Exchange, _ route: String?, to line: inout [UInt8]) {
    for annotation in exchange.annotations where !annotation.name.hasPrefix(Span.phasePrefix) {
      append(annotation.name, annotation.value, isNumber: Self.counts.contains(annotation.name), to: &line)
    }
    append("method", exchange.head.map { Self.shown($0.method) } ?? "-", to: &line)
    append("route", route ?? "-", to: &line)
    if route == nil, let path = exchange.head?.path { append("path", FieldValue.sanitized(path), to: &line) }
    append("status", exchange.status, to: &line)
    append("bytes_in", exchange.bodyBytesReceived, to: &line)
    append("bytes_out", exchange.bytesSent, to: &line)
    append("receive_ms", milliseconds: exchange.receiveNanoseconds, to: &line)
    append("respond_ms", milliseconds: exchange.respondNanoseconds, to: &line)
    append("write_ms", milliseconds: exchange.writeNanoseconds, to: &line)
    append("remote", exchange.remoteAddress, to: &line)
    if let address = exchange.head.flatMap({
      client?.address(peer: exchange.remoteAddress, fields: $0.fields)
    }) {
      append("client", "\(address)", to: &line)
    }
    append("connection", Int(truncatingIfNeeded: exchange.connection), to: &line)
    if exchange.isBroken {
      appendName("broken", to: &line)
      line.append(contentsOf: "true".utf8)
    }
  }

  private static func shown(_ method: String) -> String {
    method == "POST" || method == "GET" ? method : FieldValue.sanitized(method, maximumBytes: 16)
  }

  // MARK: Members

  private func appendName(_ name: String, to line: inout [UInt8]) {
    switch format {
    case .text:
      line.append(UInt8(ascii: " "))
      line.append(contentsOf: name.utf8)
      line.append(UInt8(ascii: "="))
    case .json:
      line.append(contentsOf: ",\"".utf8)
      line.append(contentsOf: name.utf8)
      line.append(contentsOf: "\":".utf8)
    }
  }

  private func append(_ name: String, _ value: Int, to line: inout [UInt8]) {
    appendName(name, to: &line)
    Decimal.append(value, to: &line)
  }

  private func append(_ name: String, milliseconds nanoseconds: Int64, to line: inout [UInt8]) {
    appendName(name, to: &line)
    Decimal.appendMilliseconds(nanoseconds, to: &line)
    // As JSON writes the number: 0.07 and 1.0.
    while line.last == UInt8(ascii: "0"), line[line.count - 2] != UInt8(ascii: ".") { line.removeLast() }
  }

  /// Annotations that are numbers; a client's id of digits is none.
  private static let counts: Set = ["images", "tokens", "kept"]

  private func append(_ name: String, _ value: String, isNumber: Bool = false, to line: inout [UInt8]) {
    appendName(name, to: &line)
    if isNumber {
      line.append(contentsOf: value.utf8)
    } else if Self.isBare(value) {
      if format == .json { line.append(UInt8(ascii: "\"")) }
      line.append(contentsOf: value.utf8)
      if format == .json { line.append(UInt8(ascii: "\"")) }
    } else {
      line.append(contentsOf: JSONValue.string(value).serialized())
    }
  }

  /// Whether a value is one word to every reader of logfmt: visible ASCII without `=`, quotes and backslashes.
  private static func isBare(_ value: String) -> Bool {
    !value.isEmpty
      && value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x3d && $0 != 0x5c }
  }
}
