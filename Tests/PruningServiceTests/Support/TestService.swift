import HTTP1
import JSON
import Locking
import Testing

@testable import PruningService

/// A whole service without sockets: requests are bytes for the parser, answers are taken from the responder.
struct TestService: Sendable {
  let service: Service
  let lifecycle: Lifecycle
  let isOverloaded = Flag()
  let log = Lines()

  init(maximumBodyBytes: Int = 1 << 20, logFormat: AccessLog.Format = .text) {
    self.init(Service.Configuration(maximumBodyBytes: maximumBodyBytes), logFormat: logFormat)
  }

  init(
    _ configuration: Service.Configuration, logFormat: AccessLog.Format = .text,
    staysReadyWhenOverloaded: Bool = true
  ) {
    lifecycle = Lifecycle(
      isOverloaded: { [isOverloaded] in isOverloaded.value },
      staysReadyWhenOverloaded: staysReadyWhenOverloaded)
    let log = log
    service = Service(
      configuration, lifecycle: lifecycle, metrics: Metrics(),
      accessLog: AccessLog(
        format: logFormat, timestamp: { $0.append(contentsOf: "2025-01-02T03:04:05.678Z".utf8) },
        write: { append in
          var line: [UInt8] = []
          append(&line)
          log.add(line)
        }))
    lifecycle.enter(.ready)
  }

  /// Parses a head and asks for admission; an accepted request is answered.
  func send(
    _ requestLine: String, _ fields: [String] = [], body: [UInt8]? = nil, isChunked: Bool = false
  ) throws -> Reply {
    let head = try Self.head(requestLine, fields, contentLength: isChunked ? nil : body?.count)
    let framing: BodyFraming = isChunked ? .chunked : body.map { .length($0.count) } ?? .none
    switch service.admit(head, framing: framing) {
    case .reject(let response): return Reply(response, isRejected: true)
    case .accept:
      return Reply(service.respond(to: Request(head: head, body: body ?? [])), isRejected: false)
    }
  }

  /// `POST`s JSON.
  func post(_ target: String, _ json: String, _ fields: [String] = []) throws -> Reply {
    try send("POST \(target)", ["Content-Type: application/json"] + fields, body: Array(json.utf8))
  }

  static func head(
    _ requestLine: String, _ fields: [String] = [], contentLength: Int? = nil
  ) throws -> RequestHead {
    let length = contentLength.map { ["Content-Length: \($0)"] } ?? []
    let lines = ["\(requestLine) HTTP/1.1", "Host: a"] + fields + length
    var parser = RequestParser()
    let event = try parser.parse(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8))
    guard case .head(let head, _) = event else { throw Incomplete() }
    return head
  }

  struct Incomplete: Error {}

  final class Flag: Sendable {
    private let state = Locked(false)
    var value: Bool {
      get { state.withLock { $0 } }
      set { state.withLock { $0 = newValue } }
    }
  }

  final class Lines: Sendable {
    private let state = Locked<[String]>([])
    var all: [String] { state.withLock { $0 } }
    func add(_ line: [UInt8]) { state.withLock { $0.append(String(decoding: line, as: UTF8.self)) } }
  }
}

/// What a client would see.
struct Reply: Sendable {
  let status: Int
  let fields: [Response.Field]
  let body: [UInt8]
  let annotations: [Response.Field]
  /// Answered on the head, without the body.
  let isRejected: Bool

  init(_ response: Response, isRejected: Bool) {
    status = response.status
    fields = response.fields + Self.fields(response.fieldLines)
    body = response.body
    annotations = response.annotations
    self.isRejected = isRejected
  }

  private static func fields(_ lines: [UInt8]) -> [Response.Field] {
    String(decoding: lines, as: UTF8.self).split(separator: "\r\n").map { line in
      let parts = line.split(separator: ":", maxSplits: 1)
      return Response.Field(String(parts[0]), String(parts[1].dropFirst()))
    }
  }

  func field(_ name: String) -> String? { fields.first { $0.name.lowercased() == name.lowercased() }?.value }

  var text: String { String(decoding: body, as: UTF8.self) }

  var json: JSONObject { (try? JSONValue.parse(body[...]))?.objectValue ?? JSONObject() }

  func integers(_ name: String) -> [Int]? { json[name]?.arrayValue?.compactMap(\.integerValue) }

  /// `422 invalid-input at /keep_tokens`, or `200`.
  var summary: String {
    guard let type = json["type"]?.stringValue, type.hasPrefix("/problems/") else { return String(status) }
    let pointer = json["pointer"]?.stringValue.map { " at \($0)" } ?? ""
    return "\(status) \(type.dropFirst("/problems/".count))\(pointer)"
  }
}

extension Endpoints {
  /// Every endpoint there is, as a server without models has them.
  static var standard: [Endpoint] { all(lifecycle: Lifecycle(), metrics: Metrics(), models: ModelStore()) }
}
