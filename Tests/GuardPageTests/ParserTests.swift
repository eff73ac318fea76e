import FuzzCorpus
import Testing

@testable import HTTP1
@testable import JSON

/// Parsers that read several bytes at once, over texts that end where memory does.
@Suite("Parsers stay within their bytes")
struct ParserTests {
  @Test("every prefix of every head of the corpus is parsed without a look beyond it")
  func heads() throws {
    let memory = try GuardedMemory(1 << 16)
    let inputs = try FuzzCorpus.inputs(of: "request-head").map(\.bytes)
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
    for (_, text) in try FuzzCorpus.inputs(of: "numbers") {
      for place in memory.bothEnds(text) {
        var position = 0
        _ = try? DecimalNumber.read(UnsafeBufferPointer(place), &position)
        #expect(position <= text.count)
      }
    }
  }

  @Test("an array of numbers is read without a look beyond its text, wherever that is cut off")
  func arrays() throws {
    let memory = try GuardedMemory(256)
    let texts = [
      "[0.12345678,-1.5,2]", "[[0.12345678901234567, -7.1],\n [3e-7, 12345678.12345678]]",
      "[1234567,12345678,123456789012345678901234567890]", "[0.000000000000000000000000000000000000001]",
      "[1.5e-10,1.5E+10,1e300]",
    ]
    for text in texts.map({ Array($0.utf8) }) {
      for end in 0...text.count {
        for place in memory.bothEnds(Array(text[..<end])) {
          guard var reader = RegularArrayReader<Float>(UnsafeBufferPointer(place), 8, true) else { continue }
          let array = reader.read()
          #expect(array == nil || end == text.count)
          #expect(reader.position <= end)
        }
      }
    }
    for (_, text) in try FuzzCorpus.inputs(of: "json-tensors") {
      guard let start = text.firstIndex(of: UInt8(ascii: "[")), text.count <= 2000 else { continue }
      let long = try GuardedMemory(2000)
      for place in long.bothEnds(Array(text[start...])) {
        var floats = RegularArrayReader<Float>(UnsafeBufferPointer(place), 8, true)
        _ = floats?.read()
        var whole = RegularArrayReader<Int64>(UnsafeBufferPointer(place), 8, true)
        _ = whole?.read()
      }
    }
  }
}
