import Glibc
import TLS
import TLSTesting
import Testing

@testable import Transport

/// A stream under test and the other end of its socket, in one thread: neither end ever blocks.
private final class StreamPair {
  let stream: TLSStream
  let buffers = CiphertextBuffers()
  let client: MemoryClient
  let peer: SocketStream
  private(set) var received: [UInt8] = []
  private(set) var lastOutcome = ReadOutcome.wouldBlock
  private var rest: [UInt8] = []

  init() throws {
    let folder = try CertificateFolder()
    let site = try folder.issue("site")
    let context = try TLSContext(certificatePath: site.certificatePath, keyPath: site.keyPath)
    var pair: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue)
    try #require(socketpair(AF_UNIX, type, 0, &pair) == 0)
    peer = SocketStream(FileDescriptor(owning: pair[1]))
    stream = try TLSStream(FileDescriptor(owning: pair[0]), context: context, buffers: buffers)
    client = try MemoryClient()
  }

  /// Lets the stream read until nothing comes.
  func read(atMost limit: Int = 16 << 10) {
    repeat {
      received.reserveCapacity(received.count + limit)
      lastOutcome = stream.read(into: &received, atMost: limit)
    } while lastOutcome.isBytes || stream.hasBufferedInput
  }

  func sendRaw(_ bytes: [UInt8]) { #expect(peer.write(bytes[...], []) == .bytes(bytes.count)) }

  /// Sends what the client made, as far as the socket takes it.
  func sendClientOutput() {
    rest += client.takeOutput()
    while !rest.isEmpty, case .bytes(let count) = peer.write(rest[...], []) { rest.removeFirst(count) }
  }

  /// - Returns: everything there is to read at the peer's end.
  func receiveRaw() -> (bytes: [UInt8], outcome: ReadOutcome) {
    var bytes: [UInt8] = []
    while true {
      bytes.reserveCapacity(bytes.count + (64 << 10))
      let outcome = peer.read(into: &bytes, atMost: 64 << 10)
      guard outcome.isBytes else { return (bytes, outcome) }
    }
  }

  func receiveForClient() { client.takeInput(receiveRaw().bytes) }

  func finishPeer() { peer.finishWriting() }

  func shakeHands() throws {
    for _ in 0..<4 {
      _ = try client.handshake()
      sendClientOutput()
      read()
      receiveForClient()
    }
    try #require(try client.handshake())
  }
}

extension ReadOutcome {
  fileprivate var isBytes: Bool { if case .bytes = self { true } else { false } }
}

@Suite("TLS on a socket")
struct TLSStreamTests {
  @Test("A request comes in, an answer goes out, and idle streams hold no buffer")
  func exchange() throws {
    let pair = try StreamPair()
    #expect(pair.stream.isHandshaking)
    try pair.shakeHands()
    #expect(!pair.stream.isHandshaking && !pair.stream.hasPendingOutput && !pair.stream.hasBufferedInput)
    try pair.client.send(Array("question".utf8))
    pair.sendClientOutput()
    pair.read()
    #expect(pair.received == Array("question".utf8) && pair.lastOutcome == .wouldBlock)
    #expect(pair.stream.write(Array("head".utf8)[...], Array("body".utf8)[...]) == .bytes(8))
    #expect(!pair.stream.hasPendingOutput)
    pair.receiveForClient()
    #expect(try pair.client.receive() == Array("headbody".utf8))
  }

  @Test("Bytes that come one by one never make a read fail or deliver early")
  func byteByByte() throws {
    let pair = try StreamPair()
    for _ in 0..<4 {
      _ = try pair.client.handshake()
      for byte in pair.client.takeOutput() {
        pair.sendRaw([byte])
        pair.read()
        #expect(pair.lastOutcome == .wouldBlock)
      }
      pair.receiveForClient()
    }
    try #require(try pair.client.handshake())
    try pair.client.send([42])
    for byte in pair.client.takeOutput() {
      #expect(pair.received.isEmpty)
      pair.sendRaw([byte])
      pair.read()
    }
    #expect(pair.received == [42])
  }

  @Test("More than the socket takes waits inside, and leaves when it is flushed")
  func backPressure() throws {
    let pair = try StreamPair()
    try pair.shakeHands()
    let body = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 10) }
    var sent = 0
    var answer: [UInt8] = []
    var blocks = 0
    while sent < body.count || pair.stream.hasPendingOutput {
      let outcome = sent < body.count ? pair.stream.write(body[sent...], []) : pair.stream.flush()
      switch outcome {
      case .bytes(let count): sent += count
      case .wouldBlock:
        blocks += 1
        #expect(pair.stream.hasPendingOutput)
        pair.receiveForClient()
        answer += try pair.client.receive()
      case .failed(let error): throw error
      }
    }
    pair.receiveForClient()
    answer += try pair.client.receive()
    #expect(blocks > 0)
    #expect(answer == body)
  }

  @Test("A large body arrives in place")
  func largeBody() throws {
    let pair = try StreamPair()
    try pair.shakeHands()
    let body = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ $0 >> 9) }
    try pair.client.send(body)
    var received: [UInt8] = []
    received.reserveCapacity(body.count)
    let address = received.withUnsafeBytes { $0.baseAddress }
    while received.count < body.count {
      pair.sendClientOutput()
      let outcome = pair.stream.read(into: &received, atMost: body.count - received.count)
      #expect(outcome.isBytes)
      guard outcome.isBytes else { break }
    }
    #expect(received == body)
    #expect(received.withUnsafeBytes { $0.baseAddress } == address)
  }

  @Test("A plain request is recognised by its first byte, and talked to in the clear")
  func plainRequest() throws {
    let pair = try StreamPair()
    pair.sendRaw(Array("GET / HT".utf8))
    var received: [UInt8] = []
    received.reserveCapacity(100)
    #expect(pair.stream.read(into: &received, atMost: 100) == .notTLS)
    #expect(!pair.stream.isHandshaking && pair.stream.hasBufferedInput)
    #expect(pair.stream.read(into: &received, atMost: 3) == .bytes(3))
    #expect(pair.stream.read(into: &received, atMost: 97) == .bytes(5))
    #expect(!pair.stream.hasBufferedInput)
    pair.sendRaw(Array("TP/1.1\r\n".utf8))
    #expect(pair.stream.read(into: &received, atMost: 92) == .bytes(8))
    #expect(received == Array("GET / HTTP/1.1\r\n".utf8))
    #expect(pair.stream.write(Array("HTTP/1.1 400 ".utf8)[...], [][...]) == .bytes(13))
    pair.stream.finishWriting()
    let (answer, outcome) = pair.receiveRaw()
    #expect(answer == Array("HTTP/1.1 400 ".utf8) && outcome == .end)
  }

  @Test("Garbage in a handshake is answered with an alert, then the stream is dead")
  func garbage() throws {
    let pair = try StreamPair()
    pair.sendRaw([22, 3, 1, 0, 4, 9, 9, 9, 9])
    pair.read()
    #expect(pair.lastOutcome == .failed(SystemError("TLS", code: EPROTO)))
    #expect(!pair.stream.isHandshaking && !pair.stream.hasBufferedInput)
    let (alert, outcome) = pair.receiveRaw()
    #expect(alert.first == 21 && outcome == .end)
    pair.read()
    #expect(pair.lastOutcome == .failed(SystemError("TLS", code: EPROTO)))
    #expect(pair.stream.write([1][...], []) == .failed(SystemError("TLS", code: EPROTO)))
  }

  @Test(
    "The end of the socket is the end of the input, with or without a close_notify", arguments: [true, false])
  func ends(isProper: Bool) throws {
    let pair = try StreamPair()
    try pair.shakeHands()
    try pair.client.send([1, 2])
    if isProper { pair.client.finish() }
    pair.sendClientOutput()
    pair.finishPeer()
    pair.read()
    if pair.lastOutcome != .end { pair.read() }
    #expect(pair.received == [1, 2] && pair.lastOutcome == .end)
    // The peer may still be reading.
    #expect(pair.stream.write([3][...], []) == .bytes(1))
    pair.receiveForClient()
    #expect(try pair.client.receive() == [3])
  }

  @Test("An end in the middle of the handshake is an end")
  func endOfHandshake() throws {
    let pair = try StreamPair()
    _ = try pair.client.handshake()
    pair.sendRaw(Array(pair.client.takeOutput().prefix(100)))
    pair.read()
    #expect(pair.lastOutcome == .wouldBlock && pair.stream.isHandshaking)
    pair.finishPeer()
    pair.read()
    #expect(pair.lastOutcome == .end)
  }

  @Test("Finishing says so in TLS and in TCP, and a stream that goes away says so too")
  func finishing() throws {
    for finishesFirst in [true, false] {
      var pair: StreamPair? = try StreamPair()
      try pair?.shakeHands()
      let client = try #require(pair?.client)
      if finishesFirst {
        pair?.stream.finishWriting()
        let outcome = try #require(pair?.receiveRaw())
        #expect(outcome.outcome == .end)
        client.takeInput(outcome.bytes)
      } else {
        let peer = try #require(pair).peer
        pair = nil
        var bytes: [UInt8] = []
        bytes.reserveCapacity(1000)
        #expect(peer.read(into: &bytes, atMost: 1000).isBytes)
        client.takeInput(bytes)
      }
      #expect(try client.receive().isEmpty)
      #expect(client.hasReceivedEnd)
    }
  }

  @Test("A peer that makes this side talk without listening is cut off")
  func unreadReplies() throws {
    let pair = try StreamPair()
    try pair.shakeHands()
    // Each update asks for one in return, which nobody reads.
    for _ in 0..<200_000 {
      pair.client.updateKeys()
      try pair.client.send([0])
      pair.sendClientOutput()
      pair.read()
      guard pair.lastOutcome == .wouldBlock else { break }
    }
    #expect(pair.lastOutcome == .failed(SystemError("TLS", code: ENOBUFS)))
  }
}
