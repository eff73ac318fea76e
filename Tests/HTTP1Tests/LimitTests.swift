import HTTP1
import Testing

@Suite("Limits of a head")
struct LimitTests {
  private struct Violation: Equatable {
    let status: Int
    let after: Int

    init(_ status: Int, after: Int) {
      self.status = status
      self.after = after
    }
  }

  /// The status of the violation in an input delivered byte by byte, and how many bytes it took to see it.
  private func violation(in input: [UInt8], _ limits: HTTPLimits) -> Violation? {
    var parser = RequestParser(limits: limits)
    for count in 0...input.count {
      do throws(FramingError) {
        guard case .needsMoreBytes = try parser.parse(input.span.bytes.extracting(0..<count)) else {
          return nil
        }
      } catch {
        var whole = RequestParser(limits: limits)
        #expect(throws: error) { try whole.parse(input.span.bytes) }
        return Violation(error.status, after: count)
      }
    }
    return nil
  }

  private func isAccepted(_ input: [UInt8], _ limits: HTTPLimits) -> Bool {
    var parser = RequestParser(limits: limits)
    guard case .head? = try? parser.parse(input.span.bytes) else { return false }
    return violation(in: input, limits) == nil
  }

  @Test("a request line may have exactly its limit", arguments: ["", "\r\n"])
  func requestLine(leading: String) throws {
    let line = "GET /" + String(repeating: "a", count: 20) + " HTTP/1.1"
    let limits = HTTPLimits(requestLineBytes: line.utf8.count)
    #expect(isAccepted(bytes(leading + line + "\r\nHost: a\r\n\r\n"), limits))
    let long = bytes(leading + line.replacing("GET /", with: "GET /a") + "\r\nHost: a\r\n\r\n")
    let refusal = try #require(violation(in: long, limits))
    #expect(refusal == Violation(414, after: leading.utf8.count + line.utf8.count + 1))
  }

  @Test("a request line without end is refused at the byte that crosses the limit")
  func endlessRequestLine() throws {
    let endless = bytes("GET /" + String(repeating: "a", count: 10_000))
    let refusal = try #require(violation(in: endless, .init()))
    #expect(refusal == Violation(414, after: 8193))
  }

  @Test("a head may have exactly its limit, whatever part of it crosses")
  func headBytes() throws {
    let head = bytes("GET / HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyy\r\n\r\n")
    #expect(isAccepted(head, HTTPLimits(headBytes: head.count)))
    for limit in 1..<head.count {
      let refusal = try #require(violation(in: head, HTTPLimits(headBytes: limit)))
      #expect(refusal == Violation(431, after: limit + 1))
    }
  }

  @Test(
    "a name or a value without end is refused at the byte that crosses the limit", arguments: ["X", "X: "])
  func endlessField(start: String) throws {
    let endless = bytes("GET / HTTP/1.1\r\nHost: a\r\n" + start + String(repeating: "a", count: 5000))
    let refusal = try #require(violation(in: endless, HTTPLimits(headBytes: 4096)))
    #expect(refusal == Violation(431, after: 4097))
  }

  @Test("the standard limits are 8 KiB, 64 KiB and 200 fields")
  func standardLimits() throws {
    let filler = String(repeating: "a", count: 65_536)
    var parser = RequestParser()
    let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
    let exact = bytes(start + filler.prefix(65_536 - start.utf8.count - 4) + "\r\n\r\n")
    #expect(exact.count == 65_536)
    guard case .head = try parser.parse(exact.span.bytes) else {
      Issue.record("the head is not complete")
      return
    }
    let beyond = bytes(start + filler)
    #expect(throws: FramingError(431, "the request head exceeds 65536 bytes")) {
      try parser.parse(beyond.span.bytes)
    }
  }

  @Test("two hundred fields are accepted, and the first byte of one more is refused")
  func fieldCount() throws {
    let fields = "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "A: b\r\n", count: 199)
    #expect(isAccepted(bytes(fields + "\r\n"), .init()))
    let refusal = try #require(violation(in: bytes(fields + "A: b\r\n\r\n"), .init()))
    #expect(refusal == Violation(431, after: fields.utf8.count + 1))
  }
}
