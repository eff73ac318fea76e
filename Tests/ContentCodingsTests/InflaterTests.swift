import ContentCodings
import HTTP1
import Testing

@Suite("Undoing content codings")
struct InflaterTests {
  @Test("Every split of a stream into three pieces gives the same bytes", arguments: Samples.coded)
  func splits(sample: (coding: ContentCoding, bytes: [UInt8])) throws {
    let bytes = sample.bytes
    for first in 0...bytes.count {
      for second in first...bytes.count {
        let pieces = [bytes[..<first], bytes[first..<second], bytes[second...]]
        #expect(try decoded(pieces, sample.coding) == Samples.text)
      }
    }
  }

  @Test("Any room gives the same bytes, and the buffer's address stays", arguments: 1...70)
  func rooms(room: Int) throws {
    let inflater = Inflater(.gzip, maximumOutputBytes: 1 << 20)
    var rest = Samples.gzip[...]
    var whole: [UInt8] = []
    while true {
      var output: [UInt8] = []
      output.reserveCapacity(room)
      let address = output.withUnsafeBytes { $0.baseAddress }
      let capacity = output.capacity
      let (consumed, step) = try inflater.decode(rest, into: &output)
      #expect(output.withUnsafeBytes { $0.baseAddress } == address && output.capacity == capacity)
      whole += output
      rest = rest.dropFirst(consumed)
      #expect(step == .needsRoom || rest.isEmpty)
      if step == .finished { break }
      #expect(step == .needsRoom && output.count == capacity)
    }
    try inflater.finish()
    #expect(whole == Samples.text)
  }

  @Test("A stream of blocks without content is inflated in steps, and no further once nobody wants it")
  func interruption() throws {
    // A stored block of no bytes (RFC 1951 section 3.2.4), and the last one.
    let blocks = [[UInt8]](repeating: [0, 0, 0, 0xff, 0xff], count: 100_000).flatMap { $0 }
    let stream = blocks + [1, 0, 0, 0xff, 0xff]
    var questions = 0
    let whole = try RawDeflate.inflate(stream[...], byteCount: 0) {
      questions += 1
      return false
    }
    #expect(whole == [] && questions >= 7)
    #expect(try RawDeflate.inflate(stream[...], byteCount: 0) { true } == nil)
  }

  @Test("A body cut at any byte is truncated", arguments: Samples.coded)
  func truncation(sample: (coding: ContentCoding, bytes: [UInt8])) {
    for length in 0..<sample.bytes.count {
      #expect(throws: ContentCodingError.truncated) {
        try decoded(Array(sample.bytes[..<length]), sample.coding)
      }
    }
  }

  @Test("A flipped bit never yields other bytes as a success", arguments: Samples.coded)
  func damage(sample: (coding: ContentCoding, bytes: [UInt8])) {
    var refusals = 0
    for position in sample.bytes.indices {
      for bit in 0..<8 {
        var damaged = sample.bytes
        damaged[position] ^= 1 << bit
        do throws(ContentCodingError) {
          #expect(try decoded(damaged, sample.coding) == Samples.text)
        } catch {
          #expect(error.status == 400 && !error.reason.isEmpty)
          refusals += 1
        }
      }
    }
    // All but the descriptive bytes of gzip's header: time, system, level.
    #expect(refusals >= 8 * (sample.bytes.count - 10))
  }

  @Test("What stands behind the end is refused, in the same piece and in the next", arguments: Samples.coded)
  func trailing(sample: (coding: ContentCoding, bytes: [UInt8])) {
    for garbage in [[0], [0x1f, 0], [0x1f, 0x1f], [0x78, 0xda], Array("--".utf8)] as [[UInt8]] {
      #expect(throws: ContentCodingError.trailingBytes) { try decoded(sample.bytes + garbage, sample.coding) }
      #expect(throws: ContentCodingError.trailingBytes) {
        try decoded([sample.bytes[...], garbage[...]], sample.coding)
      }
    }
  }

  @Test("gzip members follow one another; zlib streams do not")
  func members() throws {
    let two = Samples.gzip + Samples.gzipWithEveryField
    for split in 0...two.count {
      #expect(try decoded([two[..<split], two[split...]], .gzip) == Samples.text + Samples.text)
    }
    let empty = try #require(Deflater.encoded([]))
    #expect(try decoded(empty + Samples.gzip + empty, .gzip) == Samples.text)
    #expect(throws: ContentCodingError.truncated) { try decoded(Samples.gzip + [0x1f], .gzip) }
    #expect(throws: ContentCodingError.truncated) { try decoded(Samples.gzip + two.prefix(30), .gzip) }
    #expect(throws: ContentCodingError.trailingBytes) { try decoded(Samples.zlib + Samples.zlib, .deflate) }
  }

  @Test("A stream of nothing is a body of nothing; no stream at all is a truncated one")
  func empty() throws {
    #expect(try decoded(try #require(Deflater.encoded([])), .gzip) == [])
    #expect(throws: ContentCodingError.truncated) { try decoded([], .gzip) }
    #expect(throws: ContentCodingError.truncated) { try decoded([], .deflate) }
  }

  @Test("The wrong wrapping is refused, and the message says what is right")
  func wrappings() {
    for (bytes, coding, word) in [
      (Samples.rawDeflate, .deflate, "RFC 1950"), (Samples.gzip, .deflate, "RFC 1950"),
      (Samples.zlib, .gzip, "RFC 1952"), (Samples.text, .gzip, "RFC 1952"),
      (Samples.zlibWithDictionary, .deflate, "dictionary"),
    ] as [([UInt8], ContentCoding, String)] {
      let error = #expect(throws: ContentCodingError.self) { try decoded(bytes, coding) }
      #expect(error?.reason.contains(word) == true, "\(String(describing: error))")
    }
  }

  @Test("The size limit is exact", arguments: Samples.coded)
  func limit(sample: (coding: ContentCoding, bytes: [UInt8])) throws {
    let size = Samples.text.count
    #expect(try decoded(sample.bytes, sample.coding, limit: size) == Samples.text)
    for limit in [0, 1, size / 2, size - 1] {
      #expect(throws: ContentCodingError.tooLarge(limit: limit)) {
        try decoded(sample.bytes, sample.coding, limit: limit)
      }
      #expect(throws: ContentCodingError.tooLarge(limit: limit)) {
        try decoded(sample.bytes.indices.map { sample.bytes[$0...$0] }, sample.coding, limit: limit)
      }
    }
  }

  @Test("A bomb stops at the limit, and stays refused")
  func bomb() throws {
    let zeros = [UInt8](repeating: 0, count: 10 << 20)
    let bomb = try #require(Deflater.encoded(zeros, level: 9))
    #expect(bomb.count * 1000 < zeros.count)
    #expect(throws: ContentCodingError.outOfProportion(limit: Inflater.standardRatio)) {
      try decoded(bomb, .gzip, limit: zeros.count)
    }
    let grace = try #require(Deflater.encoded(Array(zeros.prefix(Inflater.ratioGrace)), level: 9))
    #expect(try decoded(grace, .gzip, limit: zeros.count).count == Inflater.ratioGrace)
    let inflater = Inflater(.gzip, maximumOutputBytes: 1 << 16)
    var output: [UInt8] = []
    output.reserveCapacity(1 << 20)
    for _ in 0..<2 {
      #expect(throws: ContentCodingError.tooLarge(limit: 1 << 16)) {
        _ = try inflater.decode(bomb[...], into: &output)
      }
      #expect(output.count == 1 << 16)
      #expect(throws: ContentCodingError.tooLarge(limit: 1 << 16)) { try inflater.finish() }
    }
  }

  @Test("A stream of empty blocks is refused once it is worth it, and one that does not compress is not")
  func emptyBlocks() throws {
    let blocks = (0..<(Inflater.emptyGrace / 4)).flatMap { _ in [0, 0, 0, 0xff, 0xff] as [UInt8] }
    let empty = [0x78, 0x9c] + blocks
    #expect(throws: ContentCodingError.empty) { try decoded(empty, .deflate) }
    #expect(throws: ContentCodingError.truncated) {
      try decoded(Array(empty.prefix(Inflater.emptyGrace)), .deflate)
    }
    let plain = [UInt8](repeating: 0, count: 2 * Inflater.emptyGrace)
    let stored = try #require(Deflater.encoded(plain, level: 0))
    #expect(stored.count > plain.count)
    #expect(try decoded(stored, .gzip, limit: plain.count) == plain)
  }

  @Test("A bomb in a bomb is undone once; many members share one limit")
  func nestedBombs() throws {
    let inner = try #require(Deflater.encoded([UInt8](repeating: 0, count: 1 << 20)))
    let outer = try #require(Deflater.encoded(inner))
    #expect(try decoded(outer, .gzip) == inner)
    let members = Array(repeating: inner, count: 3).flatMap(\.self)
    #expect(throws: ContentCodingError.tooLarge(limit: 2 << 20)) {
      try decoded(members, .gzip, limit: 2 << 20)
    }
    #expect(try decoded(members, .gzip, limit: 3 << 20).count == 3 << 20)
  }

  @Test("Random bytes behind a valid start never trap")
  func noise() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2_000 {
      let noise = (0..<64).map { _ in UInt8.random(in: 0...255, using: &generator) }
      for (start, coding) in [(Samples.gzip.prefix(10), .gzip), (Samples.zlib.prefix(2), .deflate)]
        as [(ArraySlice<UInt8>, ContentCoding)]
      {
        #expect(throws: ContentCodingError.self) { try decoded(start + noise, coding) }
      }
    }
  }
}

@Suite("Compressing answers")
struct DeflaterTests {
  @Test("What is compressed comes back, whatever its size", arguments: [0, 1, 1000, 1 << 16, 3 << 20])
  func roundTrip(size: Int) throws {
    let bytes = (0..<size).map { UInt8(truncatingIfNeeded: ($0 &* $0) >> 3) }
    let coded = try #require(Deflater.encoded(bytes))
    #expect(try decoded(coded, .gzip, limit: 4 << 20) == bytes)
    #expect(Deflater.encoded(bytes) == coded)
  }
}
