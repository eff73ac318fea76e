import HTTP1
import Testing

@testable import Transport

@Suite struct ReceiveSpinTests {
  /// Gives the pieces it was told to, and between them says `count` times that there is nothing.
  private final class PiecewiseStream: ByteStream {
    private var pieces: [[UInt8]]
    private let pause: Int
    private var pauseLeft = 0
    private(set) var fruitlessReads = 0

    init(_ pieces: [[UInt8]], pause: Int) {
      self.pieces = pieces
      self.pause = pause
    }

    let descriptor: Int32 = -1
    let isHandshaking = false
    let hasBufferedInput = false
    let hasPendingOutput = false

    func read(into buffer: inout [UInt8], atMost limit: Int) -> ReadOutcome {
      guard pauseLeft == 0, !pieces.isEmpty else {
        pauseLeft = max(0, pauseLeft - 1)
        fruitlessReads += 1
        return .wouldBlock
      }
      pauseLeft = pause
      let piece = pieces.removeFirst()
      precondition(piece.count <= limit)
      buffer.append(contentsOf: piece)
      return .bytes(piece.count)
    }

    func write(_ first: ArraySlice<UInt8>, _ second: ArraySlice<UInt8>) -> WriteOutcome { .wouldBlock }
    func flush() -> WriteOutcome { .bytes(0) }
    func duplicate() -> Int32? { nil }
    func finishWriting() {}
  }

  private func receiver(_ length: Int) -> BodyReceiver {
    var buffer: [UInt8] = []
    buffer.reserveCapacity(length)
    return BodyReceiver(
      .length(length), Acceptance(maximumBodyBytes: length, execution: .pooled), into: buffer, prefix: [],
      limits: HTTPLimits(), makeWindow: { [] })
  }

  private let quick = [UInt8](repeating: 7, count: 8 << 10)

  @Test("Waits out a short pause of a fast peer, and takes the body in one go")
  func fastPeer() throws {
    let stream = PiecewiseStream([quick, quick, quick], pause: 3)
    var body = receiver(3 * quick.count)
    #expect(try body.receive(from: stream, spin: 5_000_000_000) == .complete)
    #expect(stream.fruitlessReads == 6)
    #expect(body.bytes == quick + quick + quick)
  }

  @Test("Gives up after its time, and goes on later")
  func bounded() throws {
    let stream = PiecewiseStream([quick], pause: 0)
    var body = receiver(2 * quick.count)
    let start = Clock.now
    #expect(try body.receive(from: stream, spin: 2_000_000) == .wouldBlock)
    #expect(Clock.now - start >= 2_000_000)
    #expect(stream.fruitlessReads > 1)
    let rest = PiecewiseStream([quick], pause: 0)
    #expect(try body.receive(from: rest, spin: 2_000_000) == .complete)
  }

  @Test("Asks a slow peer once, however long it may ask, and any peer once when that is switched off")
  func slowPeer() throws {
    let slow = PiecewiseStream([quick, [1, 2, 3]], pause: 1)
    var body = receiver(2 * quick.count)
    #expect(try body.receive(from: slow, spin: 5_000_000_000) == .wouldBlock)
    // One pause behind the quick piece is waited out; the one behind the slow piece is not.
    #expect(slow.fruitlessReads == 2)
    let fast = PiecewiseStream([quick], pause: 1)
    var other = receiver(2 * quick.count)
    #expect(try other.receive(from: fast, spin: 0) == .wouldBlock)
    #expect(fast.fruitlessReads == 1)
  }

  @Test("Its turn is over after a fixed number of bytes, even if more are there")
  func turn() throws {
    let stream = PiecewiseStream([quick, quick, quick], pause: 0)
    var body = receiver(4 * quick.count)
    #expect(try body.receive(from: stream, turn: 2 * quick.count) == .turnIsOver)
    #expect(body.receivedCount == 2 * quick.count)
    #expect(try body.receive(from: stream, turn: 2 * quick.count) == .wouldBlock)
    #expect(body.receivedCount == 3 * quick.count)
  }

  @Test("Its turn is over after a fixed number of coded bytes, even if they yield nothing")
  func codedTurn() throws {
    let piece = (0..<1024).flatMap { _ in [0, 0, 0, 0xff, 0xff] as [UInt8] }
    let stream = PiecewiseStream([[0x78, 0x9c]] + [[UInt8]](repeating: piece, count: 10), pause: 0)
    let room = [UInt8](unsafeUninitializedCapacity: 16 << 10) { _, count in count = 0 }
    var body = BodyReceiver(
      .length(1 << 20), Acceptance(maximumBodyBytes: 1 << 20, execution: .pooled, contentCoding: .deflate),
      into: room, prefix: [], limits: HTTPLimits(), makeWindow: { room })
    #expect(try body.receive(from: stream) == .turnIsOver)
    #expect(body.receivedCount < 10 * piece.count)
  }

  @Test(
    "Each kind of socket has its own time, and none while more requests are under way than processors are there"
  )
  func limits() {
    var configuration = TransportConfiguration()
    configuration.receiveSpin = .microseconds(3)
    configuration.unixReceiveSpin = .microseconds(50)
    configuration.processorCount = 2
    #expect(configuration.receiveSpin(isUnix: false, busyCount: 2) == .microseconds(3))
    #expect(configuration.receiveSpin(isUnix: true, busyCount: 2) == .microseconds(50))
    #expect(configuration.receiveSpin(isUnix: true, busyCount: 3) == .zero)
  }

  @Test("Bodies that trickle in arrive whole, with the spin on", arguments: [1, 7, 5000])
  func overSockets(step: Int) async throws {
    let server = try TestServer {
      $0.receiveSpin = .microseconds(500)
      $0.processorCount = 2
      // Twenty thousand pieces take their time where other tests want the processors.
      $0.bodyTimeout = .seconds(300)
    }
    let client = try server.connect()
    let body = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    for _ in 0..<2 {
      try await client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n")
      for start in stride(from: 0, to: body.count, by: step * 40) {
        for piece in stride(from: start, to: min(start + step * 40, body.count), by: step) {
          try await client.send(Array(body[piece..<min(piece + step, body.count)]))
        }
      }
      #expect(try await client.reply().body == body)
    }
    #expect(server.server.capacity.busyCount == 0)
    await server.stop()
  }
}
