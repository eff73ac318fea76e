import HTTP1
import Testing

@Suite("The chunked coding")
struct ChunkedDecoderTests {
  static let accepted = ConformanceCase.load("accepted-chunks.txt")
  static let refused = ConformanceCase.load("refused-chunks.txt")

  enum Result: Equatable {
    case complete(body: [UInt8], trailing: [UInt8])
    case incomplete(body: [UInt8])
    case refused(FramingError)
  }

  static func decode(
    _ input: [UInt8], cutAt cuts: [Int] = [], limits: HTTPLimits = .init(), maximumBodyBytes: Int = 1000
  ) -> Result {
    var decoder = ChunkedDecoder(limits: limits, maximumBodyBytes: maximumBodyBytes)
    var buffer: [UInt8] = []
    var start = 0
    do throws(FramingError) {
      for end in cuts + [input.count] {
        buffer.append(contentsOf: input[start..<end])
        start = end
        if case .complete(let trailing) = try decoder.decode(&buffer) {
          #expect(decoder.decodedCount == buffer.count - trailing)
          return .complete(
            body: Array(buffer.dropLast(trailing)), trailing: buffer.suffix(trailing) + input[start...])
        }
        #expect(decoder.decodedCount == buffer.count)
      }
      return .incomplete(body: buffer)
    } catch {
      return .refused(error)
    }
  }

  @Test("the conformance files are found")
  func filesAreFound() {
    #expect(Self.accepted.count >= 10)
    #expect(Self.refused.count >= 30)
  }

  @Test("an accepted body is decoded alike whole, byte by byte and at every split point", arguments: accepted)
  func isDecoded(_ example: ConformanceCase) {
    let lines = example.expected.map { line in
      ConformanceCase.unescaped(String(line.drop { $0 != " " }.dropFirst()))
    }
    let expected = Result.complete(body: lines[0], trailing: lines[1])
    #expect(Self.decode(example.input) == expected)
    #expect(Self.decode(example.input, cutAt: Array(1..<example.input.count)) == expected)
    for split in 1..<example.input.count { #expect(Self.decode(example.input, cutAt: [split]) == expected) }
    for end in 0..<(example.input.count - lines[1].count) {
      guard case .incomplete(let body) = Self.decode(Array(example.input[..<end])) else {
        Issue.record("a prefix of \(end) bytes is not a body")
        continue
      }
      #expect(lines[0].starts(with: body))
    }
  }

  @Test("a refused body is refused alike whole, byte by byte and at every split point", arguments: refused)
  func isRefused(_ example: ConformanceCase) {
    guard case .refused(let error) = Self.decode(example.input) else {
      Issue.record("accepted")
      return
    }
    let parts = example.expected[0].split(separator: " ", maxSplits: 1)
    #expect(error.status == Int(parts[0]), "\(error.reason)")
    #expect(error.reason.contains(parts[1]), "\(error.reason)")
    #expect(example.expected[1].hasPrefix("RFC "))
    #expect(Self.decode(example.input, cutAt: Array(1..<example.input.count)) == .refused(error))
    for split in 1..<example.input.count {
      #expect(Self.decode(example.input, cutAt: [split]) == .refused(error))
    }
  }

  @Test("the body limit counts decoded bytes and is enforced at the size digit that crosses it")
  func bodyLimit() {
    let fits = bytes("6\r\nabcdef\r\n4\r\nghij\r\n0\r\n\r\n")
    #expect(Self.decode(fits, maximumBodyBytes: 10) == .complete(body: bytes("abcdefghij"), trailing: []))
    guard case .refused(let error) = Self.decode(bytes("6\r\nabcdef\r\n5"), maximumBodyBytes: 10) else {
      Issue.record("accepted")
      return
    }
    #expect(error.status == 413)
    #expect(Self.decode(bytes("6\r\nabcdef\r\n"), maximumBodyBytes: 10) == .incomplete(body: bytes("abcdef")))
    #expect(Self.decode(bytes("0\r\n\r\n"), maximumBodyBytes: 0) == .complete(body: [], trailing: []))
    guard case .refused(let overflow) = Self.decode(bytes("ffffffffffffffff\r\n"), maximumBodyBytes: .max)
    else {
      Issue.record("accepted")
      return
    }
    #expect(overflow.status == 413)
  }

  @Test("an extension may have as many bytes as its limit and not one more, with or without a line end")
  func extensionLimit() {
    let limits = HTTPLimits(chunkExtensionBytes: 20)
    let longest = "1;" + String(repeating: "e", count: 19)
    let expected = Result.complete(body: bytes("x"), trailing: [])
    #expect(Self.decode(bytes(longest + "\r\nx\r\n0\r\n\r\n"), limits: limits) == expected)
    #expect(Self.decode(bytes(longest), limits: limits) == .incomplete(body: []))
    guard case .refused(let error) = Self.decode(bytes(longest + "e"), limits: limits) else {
      Issue.record("accepted")
      return
    }
    #expect(error.status == 400)
    let twice = bytes(longest + "\r\nx\r\n" + longest + "\r\ny\r\n0\r\n\r\n")
    #expect(Self.decode(twice, limits: limits) == .complete(body: bytes("xy"), trailing: []))
  }

  @Test("trailers may have as many bytes as their limit and not one more")
  func trailerLimit() {
    let trailers = "A: b\r\nC: d\r\n\r\n"
    let limits = HTTPLimits(trailerBytes: trailers.utf8.count)
    #expect(
      Self.decode(bytes("0\r\n" + trailers + "x"), limits: limits)
        == .complete(body: [], trailing: bytes("x")))
    let short = HTTPLimits(trailerBytes: trailers.utf8.count - 1)
    guard case .refused(let error) = Self.decode(bytes("0\r\n" + trailers), limits: short) else {
      Issue.record("accepted")
      return
    }
    #expect(error.status == 431)
    let endless = bytes("0\r\nA: " + String(repeating: "b", count: 100))
    guard case .refused(let other) = Self.decode(endless, limits: short) else {
      Issue.record("accepted")
      return
    }
    #expect(other.status == 431)
  }

  @Test("chunks of one byte are refused once their framing outgrows the allowance")
  func overhead() {
    let limits = HTTPLimits(chunkOverheadBytes: 300)
    // Each chunk spends five bytes on framing; the size line of chunk n ends with byte 5 n - 2 of it.
    let tiny = { (count: Int) in bytes(String(repeating: "1\r\nx\r\n", count: count)) }
    #expect(Self.decode(tiny(60), limits: limits) == .incomplete(body: [UInt8](repeating: 0x78, count: 60)))
    guard case .refused(let error) = Self.decode(tiny(61), limits: limits) else {
      Issue.record("accepted")
      return
    }
    #expect(error.status == 400)
    #expect(Self.decode(tiny(61), cutAt: Array(1..<61 * 6), limits: limits) == .refused(error))
    let fair = bytes(String(repeating: "2\r\nxx\r\n", count: 400))
    #expect(Self.decode(fair, limits: limits) == .incomplete(body: [UInt8](repeating: 0x78, count: 800)))
  }

  @Test("decoding never moves the buffer")
  func buffersStay() throws {
    var buffer: [UInt8] = []
    buffer.reserveCapacity(4096)
    let address = buffer.withUnsafeBytes { $0.baseAddress }
    var decoder = ChunkedDecoder(maximumBodyBytes: 1000)
    for byte in bytes("3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\nnext") {
      buffer.append(byte)
      if case .complete = try decoder.decode(&buffer) { break }
    }
    #expect(buffer == bytes("abcde"))
    #expect(buffer.withUnsafeBytes { $0.baseAddress } == address)
  }
}
