import HTTP1
import Testing

@Suite("Request heads")
struct HeadConformanceTests {
  static let accepted = ConformanceCase.load("accepted-heads.txt")
  static let refused = ConformanceCase.load("refused-heads.txt")

  @Test("the conformance files are found")
  func filesAreFound() {
    #expect(Self.accepted.count >= 50)
    #expect(Self.refused.count >= 150)
  }

  @Test("an accepted head is read as written down", arguments: accepted)
  func isReadAsExpected(_ example: ConformanceCase) throws {
    var parser = RequestParser()
    let event = try parser.parse(example.input.span.bytes)
    guard case .head(let head, let byteCount) = event else {
      Issue.record("the head is not complete")
      return
    }
    #expect(byteCount == example.input.count)
    #expect(try Self.log(head) == example.expected)
  }

  @Test("an accepted head is the same byte by byte, and every proper prefix needs more", arguments: accepted)
  func dripsAlike(_ example: ConformanceCase) throws {
    let input = example.input
    var whole = RequestParser()
    let expected = try whole.parse(input.span.bytes)
    var parser = RequestParser()
    for count in 0..<input.count {
      #expect(try parser.parse(input.span.bytes.extracting(0..<count)) == .needsMoreBytes)
    }
    #expect(try parser.parse(input.span.bytes) == expected)
  }

  @Test(
    "an accepted head is the same at every split point, and what follows it is left alone",
    arguments: accepted)
  func splitsAlike(_ example: ConformanceCase) throws {
    var whole = RequestParser()
    let expected = try whole.parse(example.input.span.bytes)
    for following in [bytes("\0\r\nGET"), bytes(" folded"), bytes("\n")] {
      let input = example.input + following
      for split in 0..<example.input.count {
        var parser = RequestParser()
        #expect(try parser.parse(input.span.bytes.extracting(0..<split)) == .needsMoreBytes)
        #expect(try parser.parse(input.span.bytes) == expected)
      }
    }
  }

  @Test("a refused head is refused with its status and for its reason", arguments: refused)
  func isRefused(_ example: ConformanceCase) throws {
    let parts = example.expected[0].split(separator: " ", maxSplits: 1)
    #expect(example.expected[1].hasPrefix("RFC "))
    let error = try #require(Self.violation(example.input, cutAt: []))
    #expect(error.status == Int(parts[0]), "\(error.reason)")
    #expect(error.reason.contains(parts[1]), "\(error.reason)")
  }

  @Test("a refused head is refused alike byte by byte and at every split point", arguments: refused)
  func isRefusedAlike(_ example: ConformanceCase) {
    let whole = Self.violation(example.input, cutAt: [])
    #expect(Self.violation(example.input, cutAt: Array(1..<example.input.count)) == whole)
    for split in 1..<example.input.count { #expect(Self.violation(example.input, cutAt: [split]) == whole) }
  }

  /// The first violation in a head delivered in pieces, nil when it is accepted or incomplete.
  private static func violation(_ input: [UInt8], cutAt cuts: [Int]) -> FramingError? {
    var parser = RequestParser()
    do throws(FramingError) {
      for end in cuts + [input.count] {
        guard case .head(let head, _) = try parser.parse(input.span.bytes.extracting(0..<end)) else {
          continue
        }
        _ = try BodyFraming(of: head)
        _ = try head.expectation()
        return nil
      }
      return nil
    } catch {
      return error
    }
  }

  private static func log(_ head: RequestHead) throws -> [String] {
    var lines = ["method \(head.method)", "target \(head.target)", "path \(head.path)"]
    if let query = head.query { lines.append("query \(query)") }
    lines.append("version \(head.version == .http10 ? "1.0" : "1.1")")
    var seen: [String: Int] = [:]
    for (name, _) in head.fields.all {
      let value = head.fields.values(name)[seen[name.lowercased(), default: 0]]
      seen[name.lowercased(), default: 0] += 1
      lines.append("field \(name): \(ConformanceCase.escaped(value))")
    }
    switch try BodyFraming(of: head) {
    case .none: lines.append("framing none")
    case .length(let length): lines.append("framing length \(length)")
    case .chunked: lines.append("framing chunked")
    case .shared(let reference): lines.append("framing shared \(reference.length)")
    }
    lines.append("connection \(head.wantsKeepAlive ? "keep-alive" : "close")")
    if try head.expectation() == .continueResponse { lines.append("expects continue") }
    return lines.map { $0.hasSuffix(" ") ? String($0.dropLast()) : $0 }
  }
}
