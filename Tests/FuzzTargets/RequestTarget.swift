import ContentCodings
import HTTP1
import JSON
import PruningService

extension FuzzTarget {
  /// A request from its first byte to the last byte of its answer, through everything but the sockets.
  static let request = FuzzTarget("request", maximumBytes: 4096) { bytes throws(BrokenLaw) in
    guard !asksForMuch(bytes) else { return }
    let (head, response) = answer(bytes, service)
    try AnswerLaws.check(response, to: head)
    service.finished(
      Exchange(
        head: head, status: response.status, annotations: response.annotations,
        bodyBytesReceived: bytes.count,
        bytesSent: response.body.count, receiveNanoseconds: 0, respondNanoseconds: 0, writeNanoseconds: 0,
        remoteAddress: "192.0.2.1",
        connection: 1, isBroken: false))
    if Cuts.fingerprint(bytes) & 7 == 1 { try checkLock(bytes, head) }
    // One in eight is asked again: the answer is a function of the request.
    guard Cuts.fingerprint(bytes) & 7 == 0, head.map({ !$0.path.hasSuffix("metrics") }) ?? true else {
      return
    }
    let again = answer(bytes, service).response
    try require(again.status == response.status, "the same request gets the same status")
    try require(
      response.status != 200 || again.body == response.body, "the same request gets the same answer")
  }

  private static let service: Service = {
    let lifecycle = Lifecycle()
    lifecycle.enter(.ready)
    var configuration = Service.Configuration(maximumBodyBytes: maximumBodyBytes)
    configuration.compressesResponses = true
    configuration.crossOrigin = CrossOrigin(allowing: ["https://a.example"])
    return Service(configuration, lifecycle: lifecycle, metrics: Metrics())
  }()

  /// The same behind a lock.
  private static let lockedService: Service = {
    let lifecycle = Lifecycle()
    lifecycle.enter(.draining)
    var configuration = Service.Configuration(maximumBodyBytes: maximumBodyBytes)
    configuration.apiKeys = (try? APIKeyTable(parsing: Array("a sixteen-letters!".utf8))).map { APIKeys($0) }
    return Service(configuration, lifecycle: lifecycle, metrics: Metrics())
  }()

  private static let maximumBodyBytes = 8192
  /// Probes, and pages, which are the same for everyone.
  private static let openPaths: Set = [
    "/livez", "/readyz", "/healthz", "/health", "/ping", "/metrics", "/", "/docs",
  ]

  private static func checkLock(_ bytes: [UInt8], _ head: RequestHead?) throws(BrokenLaw) {
    let locked = answer(bytes, lockedService).response
    try AnswerLaws.check(locked, to: head)
    guard let head, locked.status == 200 else { return }
    let path = try? PercentEncoding.decode(head.path.utf8)
    let isKnown = head.fields.all.contains { $0.value.hasSuffix("sixteen-letters!") }
    let isOpen = openPaths.contains(path ?? "") || path?.hasPrefix("/assets/") == true
    try require(isKnown || isOpen, "nobody gets in without a key: \(head.path)")
  }

  private static func answer(
    _ bytes: [UInt8], _ service: Service
  ) -> (head: RequestHead?, response: Response) {
    var parser = RequestParser()
    do throws(FramingError) {
      guard case .head(let head, let byteCount) = try parser.parse(bytes) else {
        return (nil, service.refuse(.timedOut(phase: "head"), head: nil))
      }
      do throws(FramingError) {
        return (head, try answer(head, bytes[byteCount...], service))
      } catch {
        return (head, service.refuse(.framing(error), head: head))
      }
    } catch {
      return (nil, service.refuse(.framing(error), head: nil))
    }
  }

  private static func answer(
    _ head: RequestHead, _ rest: ArraySlice<UInt8>, _ service: Service
  ) throws(FramingError) -> Response {
    let framing = try BodyFraming(of: head)
    _ = try head.expectation()
    let acceptance: Acceptance
    switch service.admit(head, framing: framing) {
    case .reject(let response): return response
    case .accept(let accepted): acceptance = accepted
    }
    var body: [UInt8] = []
    switch framing {
    case .none: break
    case .shared(let reference):
      // What follows the head stands for the memory.
      body = Array(rest.dropFirst(reference.offset).prefix(reference.length))
      guard body.count == reference.length else {
        return service.refuse(.sharedMemory(.noDescriptor(isUnix: true)), head: head)
      }
    // The length is not held to: a mutation that moves the body's end would never reach the formats.
    case .length: body = Array(rest.prefix(acceptance.maximumBodyBytes))
    case .chunked:
      body = Array(rest)
      var decoder = ChunkedDecoder(maximumBodyBytes: acceptance.maximumBodyBytes)
      guard case .complete(let trailing) = try decoder.decode(&body) else {
        return service.refuse(.timedOut(phase: "body"), head: head)
      }
      body.removeLast(trailing)
    }
    if let coding = acceptance.contentCoding {
      switch CodingOutcome.of(body, coding, deliveredIn: [body.count], room: CodingOutcome.limit) {
      case .body(let plain): body = plain
      case .refused(let error): return service.refuse(.coding(error), head: head)
      }
    }
    var request = Request(head: head, body: body)
    if acceptance.execution == .prepared { _ = service.prepare(&request) }
    return service.respond(to: request)
  }

  /// Whether a few bytes ask for a layout of very many tokens, which is allowed and slow.
  private static func asksForMuch(_ bytes: [UInt8]) -> Bool {
    let digits = bytes.split { !(0x30...0x39).contains($0) }
    // Decimal places and long element values come behind a point; only whole numbers count tokens.
    let isLarge = digits.contains {
      (3...9).contains($0.count) && ($0.startIndex == 0 || bytes[$0.startIndex - 1] != UInt8(ascii: "."))
    }
    guard isLarge else { return false }
    let word = Array("layout".utf8)
    return bytes.indices.contains { bytes[$0] == word[0] && bytes[$0...].starts(with: word) }
  }
}

/// What holds for every answer.
private enum AnswerLaws {
  /// Those of openapi.yaml.
  private static let statuses: Set = [
    200, 204, 302, 400, 401, 404, 405, 408, 413, 414, 415, 417, 422, 429, 431, 501, 503, 505,
  ]

  static func check(_ response: Response, to head: RequestHead?) throws(BrokenLaw) {
    try require(statuses.contains(response.status), "status \(response.status) is not documented")
    var wire: [UInt8] = []
    ResponseSerializer.appendHead(
      response, keepAlive: true, version: head?.version ?? .http11, date: "Sun, 06 Nov 1994 08:49:37 GMT",
      to: &wire)
    let lines = String(decoding: wire, as: UTF8.self).split(
      separator: "\r\n", omittingEmptySubsequences: false)
    try require(
      lines.count >= 3 && lines[lines.count - 1].isEmpty && lines[lines.count - 2].isEmpty
        && lines.dropLast(2).allSatisfy { !$0.isEmpty && !$0.contains("\r") && !$0.contains("\n") },
      "the head is lines and an empty one")
    var response = response
    if let coding = response.fields.first(where: { $0.name == "Content-Encoding" })?.value {
      response.body = try plain(response.body, coding)
    }
    let types = response.fields.filter { $0.name == "Content-Type" }.map(\.value)
    if response.status >= 400, types != ["application/json"] || response.status != 503 {
      if head?.path == "/v2" || head?.path.hasPrefix("/v2/") == true {
        let error = (try? JSONValue.parse(response.body[...]))?.objectValue?["error"]?.stringValue
        try require(
          types == ["application/json"] && error?.isEmpty == false,
          "an error of the inference protocol is in its form: \(response.status) \(types)")
      } else {
        try require(
          types == ["application/problem+json"], "an error is a problem: \(response.status) \(types)")
        try checkProblem(response)
      }
    }
    if types == ["application/json"] {
      try require((try? JSONValue.parse(response.body[...])) != nil, "an answer in JSON is JSON")
    }
  }

  private static func plain(_ coded: [UInt8], _ name: String) throws(BrokenLaw) -> [UInt8] {
    guard let coding = ContentCoding(name.utf8) else {
      throw BrokenLaw("\(name) is a coding that requests may have")
    }
    var body: [UInt8] = []
    body.reserveCapacity(1 << 20)
    let inflater = Inflater(coding, maximumOutputBytes: 1 << 20)
    do throws(ContentCodingError) {
      _ = try inflater.decode(coded[...], into: &body)
      try inflater.finish()
    } catch {
      throw BrokenLaw("a compressed answer can be undone: \(error)")
    }
    return body
  }

  private static func checkProblem(_ response: Response) throws(BrokenLaw) {
    guard let problem = (try? JSONValue.parse(response.body[...]))?.objectValue else {
      throw BrokenLaw("a problem is a JSON object")
    }
    try require(problem["status"] == .integer(response.status), "a problem tells its status")
    for name in ["type", "title", "detail", "instance", "error"] {
      try require(problem[name]?.stringValue?.isEmpty == false, "a problem has \(name)")
    }
    try require(response.body.count < 4096, "a problem stays small")
  }
}
