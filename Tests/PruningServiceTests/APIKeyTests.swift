import HTTP1
import JSON
import Testing

@testable import PruningService

@Suite("API keys")
struct APIKeyTests {
  private static let first = "abcdefghijklmnop"
  private static let second = "ABCDEFGHIJKLMNOP-and-more"
  private static let third = "a-third-key-to-come"

  private static func table(_ text: String) throws(APIKeyError) -> APIKeyTable {
    try APIKeyTable(parsing: Array(text.utf8))
  }

  @Test("A file holds keys, names, comments and empty lines")
  func file() throws {
    let table = try Self.table(
      "# keys\n\n\(Self.first)\r\nblue.1\t \(Self.second)  \n   \n#\(Self.third)\nblue.1 #hash-first-is-fine")
    #expect(table.count == 3)
    #expect(table.index(of: Array(Self.first.utf8)[...]) == 0 && table.name(at: 0) == nil)
    #expect(table.index(of: Array(Self.second.utf8)[...]) == 1 && table.name(at: 1) == "blue.1")
    #expect(table.index(of: Array("#hash-first-is-fine".utf8)[...]) == 2)
    #expect(table.index(of: Array(Self.third.utf8)[...]) == nil)
  }

  @Test("What is wrong with a file is said by line and never by key")
  func badFiles() {
    let secret = "secret-secret-secret"
    for (text, words) in [
      ("", "no key"), ("# \(secret)\n", "no key"),
      ("\n\n\(secret.prefix(15))", "line 3: a key has 16 to 256"),
      (String(repeating: "x", count: 257), "not 257"), ("a b \(secret)", "line 1: holds 3 words"),
      ("\(secret)\n\(secret)\n", "line 2: repeats the key of an earlier"),
      ("na/me \(secret)", "line 1: the name"),
      ("\(secret)\u{e9}", "visible ASCII"), ("\(secret)\u{0}", "visible ASCII"),
      (String(repeating: "n", count: 65) + " \(secret)", "up to 64"),
      ((0...1000).map { "key-number-\(10_000 + $0)" }.joined(separator: "\n"), "line 1001: more than 1000"),
    ] {
      let error = #expect(throws: APIKeyError.self) { try Self.table(text) }
      #expect(error?.description.contains(words) == true, "\(String(describing: error))")
      #expect(error?.description.contains("secret") == false)
    }
  }

  @Test("Only a whole key matches: no prefix, no extension, no neighbour")
  func comparison() throws {
    let table = try Self.table("\(Self.first)\n\(Self.second)")
    let key = Array(Self.second.utf8)
    #expect(table.index(of: []) == nil)
    #expect(table.index(of: (key + [0])[...]) == nil)
    #expect(table.index(of: (key + [UInt8](repeating: 0, count: 300))[...]) == nil)
    #expect(table.index(of: [UInt8](repeating: 0, count: 256)[...]) == nil)
    for index in key.indices {
      #expect(table.index(of: key[..<index]) == nil)
      for bit in 0..<8 {
        var other = key
        other[index] ^= 1 << bit
        #expect(table.index(of: other[...]) == nil)
      }
    }
    let longest = String(repeating: "k", count: 256)
    let long = try Self.table(longest)
    #expect(long.index(of: Array(longest.utf8)[...]) == 0)
    #expect(long.index(of: Array((longest + "k").utf8)[...]) == nil)
  }

  private static func service(_ crossOrigin: CrossOrigin? = nil) throws -> TestService {
    var configuration = Service.Configuration(maximumBodyBytes: 1 << 20)
    configuration.apiKeys = APIKeys(try table("\(first)\nblue \(second)"))
    configuration.crossOrigin = crossOrigin
    return TestService(configuration)
  }

  @Test(
    "A key in either field opens; anything doubtful does not",
    arguments: [
      (["Authorization: Bearer \(first)"], true), (["authorization: bEARER   \(second)"], true),
      (["X-API-Key: \(first)"], true), (["x-api-key: \(second)", "Authorization: Bearer \(second)"], true),
      (["X-API-Key: \(first)", "Authorization: Basic Zm9v"], true),
      ([], false), (["Authorization: \(first)"], false), (["Authorization: Basic \(first)"], false),
      (["Authorization: Bearer"], false), (["Authorization: Bearer\t\(first)"], false),
      (["Authorization: Bearer \(first) x"], false), (["X-API-Key: Bearer \(first)"], false),
      (["X-API-Key: \(first)x"], false), (["X-API-Key: "], false), (["X-API-Key: \(third)"], false),
      (["X-API-Key: \(first)", "X-API-Key: \(first)"], false),
      (["X-API-Key: \(first)", "Authorization: Bearer \(second)"], false),
      (["X-API-Key: \(first)", "Authorization: Bearer \(third)"], false),
      (["X-API-Key: \(third)", "Authorization: Bearer \(third)"], false),
      (["Authorization: Bearer \(first)", "Authorization: Bearer \(first)"], false),
      (["Api-Key: \(first)", "Cookie: key=\(first)"], false),
    ] as [([String], Bool)])
  func credentials(fields: [String], isKnown: Bool) throws {
    let reply = try Self.service().send("GET /methods", fields)
    #expect(reply.status == (isKnown ? 200 : 401))
    guard !isKnown else { return }
    #expect(reply.isRejected && reply.summary == "401 unauthorized")
    #expect(reply.field("WWW-Authenticate") == "Bearer realm=\"crop\"")
    for key in [Self.first, Self.second, Self.third] { #expect(!reply.text.contains(key)) }
  }

  @Test("The contract's example is what a request without a key is told")
  func example() throws {
    let wanted = try ContractDocument().value("components", "examples", "unauthorized", "value")
    var told = try Self.service().send("GET /methods").json
    told["instance"] = "example"
    #expect(.object(told) == wanted)
  }

  @Test("Without a key nothing is told apart: what exists, what it takes, what is wrong")
  func everythingElse() throws {
    let service = try Self.service()
    for line in [
      "GET /nowhere", "POST /prune", "DELETE /prune", "GET /methods/topk", "GET /openapi.yaml",
      "HEAD /openapi.json",
      "OPTIONS /prune", "GET /livez/", "GET /metrics2", "GET /%6civez", "GET /asset/page.css",
      "POST /compress?x",
    ] {
      #expect(try service.send(line).summary == "401 unauthorized", "\(line)")
    }
  }

  @Test("Pages and what they load are the same for everyone, and need no key")
  func pages() throws {
    let service = try Self.service()
    #expect(try service.send("GET /").status == 200)
    for path in ["/docs", "/assets/docs.js", "/assets/page.css"] {
      #expect(try service.send("GET \(path)").status == 200, "\(path)")
    }
    #expect(try service.send("GET /assets/nothing").status == 404)
  }

  @Test("Probes and metrics need no key, and a wrong one does no harm")
  func probes() throws {
    let service = try Self.service()
    for path in ["/livez", "/readyz", "/healthz", "/health", "/ping", "/metrics", "/livez?x=1"] {
      #expect(try service.send("GET \(path)").status == 200)
      #expect(try service.send("HEAD \(path)", ["X-API-Key: wrong"]).status == 200)
      #expect(try service.send("OPTIONS \(path)").status == 204)
    }
  }

  @Test("The default check of HAProxy needs no key")
  func optionsOfTheServer() throws {
    for target in ["/", "*"] { #expect(try Self.service().send("OPTIONS \(target)").status == 204) }
  }

  @Test("A preflight needs no key where pages are allowed; another OPTIONS does")
  func preflight() throws {
    let ask = ["Origin: https://a.example", "Access-Control-Request-Method: POST"]
    #expect(try Self.service().send("OPTIONS /prune", ask).status == 401)
    let service = try Self.service(CrossOrigin(allowing: ["https://a.example"]))
    #expect(try service.send("OPTIONS /prune", ask).status == 204)
    #expect(try service.send("OPTIONS /prune", [ask[0]]).status == 401)
    // Neither an unknown path nor an unknown page learns anything.
    #expect(try service.send("OPTIONS /nowhere", ask).status == 401)
    #expect(try service.send("OPTIONS /prune", ["Origin: https://evil.example", ask[1]]).status == 401)
    let refused = try service.send("POST /prune", [ask[0], ask[1]])
    #expect(refused.status == 401)
    #expect(refused.field("Access-Control-Allow-Origin") == "https://a.example")
  }

  @Test("New keys are in force from the next request on")
  func replacement() throws {
    let keys = APIKeys(try Self.table(Self.first))
    var configuration = Service.Configuration()
    configuration.apiKeys = keys
    let service = TestService(configuration)
    #expect(try service.send("GET /methods", ["X-API-Key: \(Self.first)"]).status == 200)
    keys.replace(with: try Self.table(Self.third))
    #expect(try service.send("GET /methods", ["X-API-Key: \(Self.first)"]).status == 401)
    #expect(try service.send("GET /methods", ["X-API-Key: \(Self.third)"]).status == 200)
  }

  @Test("The log has the key's name, and no log, metric or answer has the key")
  func secrecy() throws {
    let service = try Self.service()
    var seen = ""
    for fields in [["X-API-Key: \(Self.second)"], ["X-API-Key: \(Self.first)"], ["X-API-Key: \(Self.third)"]]
    {
      let reply = try service.send("GET /methods", fields)
      service.service.finished(
        Exchange(
          head: try TestService.head("GET /methods", fields), status: reply.status,
          annotations: reply.annotations, bodyBytesReceived: 0, bytesSent: reply.body.count,
          receiveNanoseconds: 0, respondNanoseconds: 0, writeNanoseconds: 0, remoteAddress: "127.0.0.1",
          connection: 1, isBroken: false))
      seen += "\(reply.fields)\(reply.annotations)\(reply.text)"
    }
    seen += service.log.all.joined() + service.service.metrics.exposition()
    for key in [Self.first, Self.second, Self.third] { #expect(!seen.contains(key)) }
    #expect(service.log.all.filter { $0.contains(" key=blue ") }.count == 1)
    #expect(service.log.all.filter { $0.contains(" key=") }.count == 1)
  }
}
