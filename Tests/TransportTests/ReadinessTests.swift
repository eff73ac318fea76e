import Glibc
import Testing

@testable import Transport

/// Both ways to learn what is ready, held to the same promises.
@Suite(.serialized) struct ReadinessTests {
  /// Two connected sockets; each is closed once.
  private final class Pair {
    private(set) var ends: [Int32] = [0, 0]

    init() {
      let type = Int32(SOCK_STREAM.rawValue)
      _ = socketpair(AF_UNIX, type, 0, &ends)
      for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    }

    deinit { for end in ends where end >= 0 { close(end) } }

    func closeEnd(_ index: Int) {
      close(ends[index])
      ends[index] = -1
    }

    func send(_ byte: UInt8 = 1) {
      var byte = byte
      _ = write(ends[1], &byte, 1)
    }

    func receive() {
      var byte: UInt8 = 0
      _ = read(ends[0], &byte, 1)
    }
  }

  private func events(_ readiness: any Readiness, milliseconds: Int32 = 5_000) -> [ReadinessEvent] {
    var events: [ReadinessEvent] = []
    readiness.wait(milliseconds: milliseconds, into: &events)
    return events
  }

  @Test("Tells of bytes until they are read, and of more bytes again", arguments: ReadinessKind.allCases)
  func reading(kind: ReadinessKind) throws {
    let readiness = try kind.make()
    let pair = Pair()
    try readiness.add(pair.ends[0], token: 7, .read)
    #expect(events(readiness, milliseconds: 0).isEmpty)
    for _ in 0..<3 {
      pair.send()
      for _ in 0..<2 {
        let told = events(readiness)
        #expect(told.map(\.token) == [7] && told[0].isReadable && !told[0].isBroken && !told[0].isWritable)
      }
      pair.receive()
      #expect(events(readiness, milliseconds: 0).isEmpty)
    }
    readiness.remove(pair.ends[0], token: 7)
  }

  @Test("Tells of room to write only while that is wanted", arguments: ReadinessKind.allCases)
  func writing(kind: ReadinessKind) throws {
    let readiness = try kind.make()
    let pair = Pair()
    try readiness.add(pair.ends[0], token: 1, .read)
    for _ in 0..<3 {
      try readiness.modify(pair.ends[0], token: 1, [.read, .write])
      let told = events(readiness)
      #expect(told.map(\.token) == [1] && told[0].isWritable)
      try readiness.modify(pair.ends[0], token: 1, .read)
      #expect(events(readiness, milliseconds: 0).isEmpty)
    }
    try readiness.modify(pair.ends[0], token: 1, [])
    pair.send()
    #expect(events(readiness, milliseconds: 20).isEmpty)
    try readiness.modify(pair.ends[0], token: 1, .read)
    #expect(events(readiness).first?.isReadable == true)
    readiness.remove(pair.ends[0], token: 1)
  }

  @Test("A peer that is gone is told again and again", arguments: ReadinessKind.allCases)
  func hangUp(kind: ReadinessKind) throws {
    let readiness = try kind.make()
    let pair = Pair()
    try readiness.add(pair.ends[0], token: 2, .read)
    pair.closeEnd(1)
    for _ in 0..<5 {
      let told = events(readiness)
      #expect(told.first?.token == 2 && told.first?.isBroken == true)
    }
    readiness.remove(pair.ends[0], token: 2)
    #expect(events(readiness, milliseconds: 0).isEmpty)
  }

  @Test("A descriptor may be closed and its number used again at once", arguments: ReadinessKind.allCases)
  func reuse(kind: ReadinessKind) throws {
    let readiness = try kind.make()
    for token in UInt64(0)..<50 {
      let pair = Pair()
      try readiness.add(pair.ends[0], token: token, .read)
      pair.send()
      #expect(events(readiness).map(\.token) == [token])
      if token % 2 == 0 { pair.closeEnd(1) }
      readiness.remove(pair.ends[0], token: token)
      pair.closeEnd(0)
    }
    #expect(events(readiness, milliseconds: 0).isEmpty)
  }

  @Test("Many descriptors are told of, each by its token", arguments: ReadinessKind.allCases)
  func many(kind: ReadinessKind) throws {
    let readiness = try kind.make()
    let pairs = (0..<100).map { _ in Pair() }
    for (token, pair) in pairs.enumerated() {
      try readiness.add(pair.ends[0], token: UInt64(token), .read)
      if token % 3 == 0 { pair.send() }
    }
    var told = Set<UInt64>()
    while told.count < 34 {
      let fresh = events(readiness)
      guard !fresh.isEmpty else { break }
      told.formUnion(fresh.map(\.token))
    }
    #expect(told == Set((0..<100).filter { $0 % 3 == 0 }.map(UInt64.init)))
    for (token, pair) in pairs.enumerated() where token % 2 == 0 {
      readiness.remove(pair.ends[0], token: UInt64(token))
    }
    // The rest is let go of with the readiness itself, before the descriptors close.
  }
}
