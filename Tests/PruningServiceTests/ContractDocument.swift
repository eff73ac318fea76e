import FoundationEssentials
import HTTP1
import JSON
import Testing

@testable import PruningService

/// The served contract, taken apart for tests.
struct ContractDocument {
  let root: JSONValue

  init() throws {
    root = try JSONValue.parse(#require(EmbeddedFile("openapi.json")).bytes[...])
  }

  /// A file of the repository.
  static func file(_ path: String) throws -> String {
    let root = URL(filePath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    return String(decoding: try Data(contentsOf: root.appending(path: path)), as: UTF8.self)
  }

  /// The value under these names; a `$ref` on the way is followed.
  func value(_ path: String...) throws -> JSONValue { try value(root, path) }

  func value(_ start: JSONValue, _ path: [String]) throws -> JSONValue {
    var node = try resolved(start)
    for name in path {
      node = try resolved(try #require(node.objectValue?[name], "no '\(name)' in \(path)"))
    }
    return node
  }

  func resolved(_ value: JSONValue) throws -> JSONValue {
    var value = value
    while let reference = value.objectValue?["$ref"]?.stringValue {
      var target = root
      for name in reference.split(separator: "/").dropFirst() {
        target = try #require(target.objectValue?[String(name)], "\(reference) leads nowhere")
      }
      value = target
    }
    return value
  }

  func schema(_ name: String) throws -> JSONValue { try value("components", "schemas", name) }

  /// The strings a schema allows.
  func choices(_ path: String...) throws -> [String] {
    let list = try #require(
      try value(root, ["components", "schemas"] + path).objectValue?["enum"]?.arrayValue)
    return list.compactMap(\.stringValue)
  }

  /// The names of an object schema's members.
  func members(_ schema: String) throws -> [String] {
    try #require(try self.schema(schema).objectValue?["properties"]?.objectValue).names
  }

  var operations: [(method: String, route: String, value: JSONValue)] {
    get throws {
      try #require(try value("paths").objectValue).members.flatMap { path in
        (path.value.objectValue?.members ?? []).map { ($0.name.uppercased(), path.name, $0.value) }
      }
    }
  }
}

/// Sends requests to the service as the transport would, without a socket.
struct ServiceClient {
  let service = Service(lifecycle: Self.readyLifecycle(), metrics: Metrics())

  private static func readyLifecycle() -> Lifecycle {
    let lifecycle = Lifecycle()
    lifecycle.enter(.ready)
    return lifecycle
  }

  func send(
    _ method: String, _ target: String, type: String? = nil, _ body: [UInt8] = []
  ) throws -> Response {
    var lines = ["\(method) \(target) HTTP/1.1", "Host: crop", "X-Request-Id: example"]
    if let type { lines.append("Content-Type: \(type)") }
    if !body.isEmpty { lines.append("Content-Length: \(body.count)") }
    var parser = RequestParser()
    let bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    guard case .head(let head, _) = try parser.parse(bytes) else {
      throw FramingError(400, "the head is not whole")
    }
    switch service.admit(head, framing: try BodyFraming(of: head)) {
    case .reject(let response): return response
    case .accept: return service.respond(to: Request(head: head, body: body))
    }
  }
}

extension String {
  /// What follows `heading` up to the next heading of the second level.
  func section(_ heading: String) -> String? {
    guard let start = firstRange(of: heading + "\n") else { return nil }
    let rest = self[start.upperBound...]
    return String(rest[..<(rest.firstRange(of: "\n## ")?.lowerBound ?? rest.endIndex)])
  }
}
