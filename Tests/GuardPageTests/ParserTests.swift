import Testing

@testable import HTTP1
@testable import JSON

/// Parsers that read several bytes at once, over texts that end where memory does.
@Suite("Parsers stay within their bytes")
struct ParserTests {
  @Test("every prefix of every head of the corpus is parsed without a look beyond it")
  func heads() throws {
    let memory = try GuardedMemory(1 << 16)
    let inputs = try corpus("request-head")
    #expect(!inputs.isEmpty)
    for input in inputs {
      // What a longer head reads beyond its first bytes, shorter ones show.
      for end in stride(from: 0, through: input.count, by: input.count > 400 ? 7 : 1) {
        for place in memory.bothEnds(Array(input[..<end])) {
          var parser = RequestParser()
          _ = try? parser.parse(UnsafeRawBufferPointer(place).bytes)
        }
      }
    }
  }

  @Test("the search for the end of a line's text stops at every length", arguments: 0...40)
  func endOfText(_ count: Int) throws {
    let memory = try GuardedMemory(64)
    for place in memory.bothEnds([UInt8](repeating: 0x61, count: count)) {
      let span = UnsafeRawBufferPointer(place).bytes
      for start in 0...count { #expect(span.endOfText(from: start, to: count) == count) }
      for stop in 0..<count {
        place[stop] = 0x0d
        #expect(span.endOfText(from: 0, to: count) == stop)
        place[stop] = 0x61
      }
    }
  }

  @Test("a number ends where its text does", arguments: 1...40)
  func numbers(_ count: Int) throws {
    let memory = try GuardedMemory(64)
    let texts = ["1", "-", "0.", "1e", "1.5", "12345678.", "-0.12345678e"].map {
      Array($0.utf8.prefix(count)) + [UInt8](repeating: 0x31, count: max(0, count - $0.utf8.count))
    }
    for text in texts {
      for place in memory.bothEnds(text) {
        for end in 0...count {
          var position = 0
          let prefix = UnsafeBufferPointer(rebasing: place[..<end])
          // Only the end of the place is guarded; prefixes are there for the other branches.
          _ = try? DecimalNumber.read(prefix, &position)
          #expect(position <= end)
        }
      }
    }
  }

  @Test("every number of the corpus is read without a look beyond it")
  func corpusNumbers() throws {
    let memory = try GuardedMemory(1 << 14)
    for text in try corpus("numbers") {
      for place in memory.bothEnds(text) {
        var position = 0
        _ = try? DecimalNumber.read(UnsafeBufferPointer(place), &position)
        #expect(position <= text.count)
      }
    }
  }
}
