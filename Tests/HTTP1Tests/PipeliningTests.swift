import HTTP1
import Testing

@Suite("Messages in sequence")
struct PipeliningTests {
  static let sequence = bytes(
    "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
      + "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET "
      + "\r\nPOST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: u\r\n\r\n"
      + "POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
      + "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")

  @Test(
    "pipelined messages of every framing are read in order, whole and byte by byte and at every split point")
  func inOrder() {
    let whole = MessageReader.outcomes(of: Self.sequence)
    let paths = whole.compactMap { outcome in
      if case .head(let head, _) = outcome { head.path } else { nil }
    }
    #expect(paths == ["/1", "/2", "/3", "/4", "*"])
    let bodies = whole.compactMap { outcome in
      if case .body(let body) = outcome { String(decoding: body, as: UTF8.self) } else { nil }
    }
    #expect(bodies == ["GET ", "abc", ""])
    #expect(MessageReader.outcomes(of: Self.sequence, cutAt: Array(1..<Self.sequence.count)) == whole)
    for split in 1..<Self.sequence.count {
      #expect(MessageReader.outcomes(of: Self.sequence, cutAt: [split]) == whole)
    }
  }

  @Test("what follows a violation is never read as a request")
  func nothingAfterViolation() {
    let input = bytes(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
        + "Transfer-Encoding: chunked\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    let outcomes = MessageReader.outcomes(of: input)
    #expect(outcomes.count == 2)
    guard case .refused(let error) = outcomes.last else {
      Issue.record("accepted")
      return
    }
    #expect(error.status == 400)
  }

  @Test("two hundred thousand mutations never trap, and how they are cut makes no difference")
  func mutations() {
    var generator = SeededGenerator(seed: 9112)
    let good = HeadConformanceTests.accepted.map(\.input)
    let seeds =
      good + good + good + HeadConformanceTests.refused.map(\.input)
      + [[UInt8]](repeating: Self.sequence, count: 40)
      + (ChunkedDecoderTests.accepted + ChunkedDecoderTests.refused).map {
        bytes("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") + $0.input
      }
    var refusals = 0
    var heads = 0
    for round in 0..<200_000 {
      var input = seeds[round % seeds.count]
      for _ in 0..<max(1, Int.random(in: -2...3, using: &generator)) {
        Self.mutate(&input, seeds, &generator)
      }
      let whole = MessageReader.outcomes(of: input)
      if case .refused = whole.last { refusals += 1 }
      if case .head = whole.first { heads += 1 }
      let cuts =
        round % 8 == 0
        ? Array(0..<input.count)
        : (0..<2).map { _ in Int.random(in: 0...input.count, using: &generator) }.sorted()
      guard MessageReader.outcomes(of: input, cutAt: cuts) == whole else {
        Issue.record("cut at \(cuts), this is read differently: \(ConformanceCase.escaped(input))")
        return
      }
    }
    // A mutation engine that only ever makes rubbish, or never does, proves nothing.
    #expect(refusals > 50_000)
    #expect(heads > 30_000)
  }

  private static func mutate(_ input: inout [UInt8], _ seeds: [[UInt8]], _ generator: inout SeededGenerator) {
    let special = bytes("\r\n\0\t :;,0159afx\"\\%*/?#\u{7f}-")
    let place = Int.random(in: 0..<max(1, input.count), using: &generator)
    switch Int.random(in: 0..<6, using: &generator) {
    case 0 where !input.isEmpty: input[place] = UInt8.random(in: 0...255, using: &generator)
    case 1 where !input.isEmpty: input[place] = special.randomElement(using: &generator) ?? 0
    case 2 where !input.isEmpty: input.remove(at: place)
    case 3: input.insert(special.randomElement(using: &generator) ?? 0, at: min(place, input.count))
    case 4 where !input.isEmpty:
      let end = min(input.count, place + Int.random(in: 1...12, using: &generator))
      input.insert(contentsOf: Array(input[place..<end]), at: place)
    default:
      let other = seeds.randomElement(using: &generator) ?? []
      input = Array(input.prefix(place)) + other.suffix(Int.random(in: 0...other.count, using: &generator))
    }
  }
}
