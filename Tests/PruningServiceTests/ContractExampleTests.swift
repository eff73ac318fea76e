import HTTP1
import JSON
import Testing
import Yams

@testable import PruningService

@Suite("the contract's examples and the forms it is served in")
struct ContractExampleTests {
  private let contract: ContractDocument
  private let client = ServiceClient()

  init() throws { contract = try ContractDocument() }

  @Test("every example request gives its example answer", arguments: Operation.allCases)
  func answers(of operation: PruningService.Operation) throws {
    let path = ["paths", "/\(operation.rawValue)", "post"]
    let requests = try examples(path + ["requestBody"])
    let answers = try examples(path + ["responses", "200"])
    #expect(requests.map(\.name) == answers.map(\.name))
    for (request, answer) in zip(requests, answers) {
      let response = try client.send(
        "POST", "/\(operation.rawValue)", type: "application/json", request.value.serialized())
      #expect(response.status == 200, "\(request.name)")
      let body = try JSONValue.parse(response.body[...])
      #expect(body == answer.value, "\(request.name): \(body)")
    }
  }

  @Test("every example plan is what the service answers")
  func plans() throws {
    let path = ["paths", "/plan", "post"]
    let requests = try examples(path + ["requestBody"])
    let answers = try examples(path + ["responses", "200"])
    #expect(requests.map(\.name) == answers.map(\.name) && requests.count == 4)
    for (request, answer) in zip(requests, answers) {
      let response = try client.send("POST", "/plan", type: "application/json", request.value.serialized())
      let body = try JSONValue.parse(response.body[...])
      #expect(body == answer.value, "\(request.name): \(body)")
    }
  }

  @Test("the example comparison is what the service answers, but for the time it takes")
  func comparison() throws {
    let path = ["paths", "/compare", "post"]
    let request = try #require(try examples(path + ["requestBody"]).first)
    let answer = try #require(try examples(path + ["responses", "200"]).first)
    let response = try client.send("POST", "/compare", type: "application/json", request.value.serialized())
    func withoutTimes(_ value: JSONValue) throws -> JSONObject {
      var object = try #require(value.objectValue)
      let methods = try #require(object["methods"]?.arrayValue).map { entry -> JSONValue in
        var entry = entry.objectValue ?? [:]
        entry["milliseconds"] = nil
        return .object(entry)
      }
      object["methods"] = .array(methods)
      return object
    }
    let body = try JSONValue.parse(response.body[...])
    #expect(try withoutTimes(body) == withoutTimes(answer.value), "\(body)")
  }

  @Test("every example that names its request is what the service answers")
  func namedRequests() throws {
    let problems = try #require(try contract.value("components", "examples").objectValue).members
    let inline = try [("/methods/{name}", "topk"), ("/models", "none"), ("/livez", "live"), ("/", "index")]
      .map {
        path, name in
        JSONObject.Member(
          name: name,
          value: try contract.value(
            "paths", path, "get", "responses", "200", "content", "application/json", "examples", name))
      }
    var tried = 0
    for example in problems + inline {
      let object = try #require(example.value.objectValue)
      guard let request = object["x-request"]?.objectValue else { continue }
      tried += 1
      let response = try client.send(
        try #require(request["method"]?.stringValue), try #require(request["target"]?.stringValue),
        type: request["content_type"]?.stringValue, Array((request["body"]?.stringValue ?? "").utf8))
      let body = try JSONValue.parse(response.body[...])
      #expect(body == object["value"], "\(example.name): \(body)")
    }
    #expect(tried >= 12)
  }

  @Test("example problems say what the service says when nothing but the transport can cause them")
  func refusals() throws {
    let refusals: [(String, Refusal)] = [
      ("timedOut", .timedOut(phase: "body")), ("bodyTooLarge", .bodyTooLarge(limit: 64 << 20)),
      ("malformedCoding", .coding(.truncated)), ("tooManyRequests", .queueFull),
      ("overloaded", .noMemoryBudget), ("sharedMemory", .sharedMemory(.noDescriptor(isUnix: true))),
      ("badFraming", .framing(try framingError(of: "GET /prune HTTP\r\n\r\n"))),
      ("targetTooLong", .framing(try framingError(of: "GET /" + String(repeating: "a", count: 8192)))),
      (
        "headTooLarge",
        .framing(try framingError(of: "GET / HTTP/1.1\r\nA: " + String(repeating: "a", count: 65_536)))
      ),
    ]
    for (name, refusal) in refusals {
      let example = try contract.value("components", "examples", name, "value")
      let response = client.service.refuse(refusal, head: nil)
      var body = try #require(try JSONValue.parse(response.body[...]).objectValue)
      body["instance"] = "example"
      #expect(.object(body) == example, "\(name)")
    }
  }

  private func framingError(of text: String) throws -> FramingError {
    var parser = RequestParser()
    return try #require(throws: FramingError.self) { try parser.parse(Array(text.utf8)) }
  }

  @Test("an example problem stands under the status it carries")
  func problemStatuses() throws {
    for operation in try contract.operations {
      let responses = try #require(operation.value.objectValue?["responses"]?.objectValue)
      for response in responses.members {
        let content = try contract.resolved(response.value).objectValue?["content"]?.objectValue
        let examples = content?["application/problem+json"]?.objectValue?["examples"]?.objectValue
        for example in examples?.members ?? [] {
          let status = try contract.value(example.value, ["value", "status"]).integerValue
          #expect(status.map(String.init) == response.name, "\(operation.route) \(example.name)")
        }
      }
    }
  }

  @Test("what the server sends is openapi.yaml, the same as JSON, and the page")
  func servedForms() throws {
    let yaml = try ContractDocument.file("openapi.yaml")
    let served = try client.send("GET", "/openapi.yaml")
    #expect(served.body == Array(yaml.utf8), "run tools/contract.py")
    #expect(served.fields.contains(Response.Field("Content-Type", "application/yaml")))
    let page = try client.send("GET", "/docs")
    #expect(page.body == Array(try ContractDocument.file("web/docs.html").utf8))
    let document = try #require(try Yams.compose(yaml: yaml))
    #expect(try Self.json(document) == contract.root, "run tools/contract.py")
  }

  @Test("pages and what they load refer to nothing outside the server, and run no script of their own")
  func offlinePages() throws {
    for name in EmbeddedFile.names where ["html", "css", "js"].contains(name.split(separator: ".").last) {
      let file = String(decoding: try #require(EmbeddedFile(name)).bytes, as: UTF8.self)
      #expect(try file == ContractDocument.file("web/\(name)"), "\(name)")
      for reference in ["http://", "https://", "\"//", "@import", "url("] {
        let found = file.replacing("http://www.w3.org/", with: "").contains(reference)
        #expect(!found, "\(name): \(reference)")
      }
      // What the pages' content security policy would reject.
      for refused in ["<style", " style=", " onclick=", "eval("] {
        #expect(!file.contains(refused), "\(name): \(refused)")
      }
      guard name.hasSuffix(".html") else { continue }
      for part in file.split(separator: "assets/").dropFirst() {
        let asset = String(part.prefix { $0 != "\"" })
        #expect(EmbeddedFile.names.contains(asset), "\(name) loads \(asset)")
      }
    }
  }

  @Test("files that pages load come with the media type of their names, and nothing else is served there")
  func assets() throws {
    let script = try client.send("GET", "/assets/docs.js")
    let original = Array(try ContractDocument.file("web/docs.js").utf8)
    #expect(script.status == 200 && script.body == original)
    #expect(script.fields.contains(Response.Field("Content-Type", "text/javascript; charset=utf-8")))
    for name in ["openapi.yaml", "docs.html", "", "../openapi.yaml", "DOCS.JS"] {
      #expect(try client.send("GET", "/assets/\(name)").status == 404, "\(name)")
    }
  }

  private func examples(_ path: [String]) throws -> [JSONObject.Member] {
    let content = try contract.value(contract.root, path + ["content", "application/json", "examples"])
    return try #require(content.objectValue).members.map { example in
      JSONObject.Member(
        name: example.name, value: try #require(example.value.objectValue?["value"]))
    }
  }

  /// YAML read by the core schema, members in their order.
  private static func json(_ node: Node) throws -> JSONValue {
    switch node {
    case .mapping(let mapping):
      return .object(
        JSONObject(
          distinctMembers: try mapping.map { pair in
            .init(name: try #require(pair.key.string), value: try json(pair.value))
          }))
    case .sequence(let sequence): return .array(try sequence.map { try json($0) })
    case .scalar:
      if node.null != nil { return .null }
      if let value = node.bool { return .bool(value) }
      if let value = node.int { return .integer(value) }
      if let value = node.float { return .number(value) }
      return .string(try #require(node.string))
    case .alias: throw FramingError(400, "the contract uses no aliases")
    }
  }
}
