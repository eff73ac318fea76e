import COpenSSL
import TLS
import TLSTesting
import Testing

@Suite("Data and ends")
struct DataTests {
  let folder: CertificateFolder
  let context: TLSContext

  init() throws {
    folder = try CertificateFolder()
    let site = try folder.issue("site")
    context = try TLSContext(certificatePath: site.certificatePath, keyPath: site.keyPath)
  }

  private func connected(version: Int32 = TLS1_3_VERSION) throws -> Conversation {
    var options = MemoryClient.Options()
    options.maximumVersion = version
    let conversation = try Conversation(context, options)
    try conversation.shakeHands()
    return conversation
  }

  /// Bytes that differ from place to place.
  private func pattern(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
  }

  @Test("Bytes arrive as they were sent, either way", arguments: [1, 16_383, 16_384, 16_385, 1_200_000])
  func bothWays(count: Int) throws {
    let conversation = try connected()
    let body = pattern(count)
    try conversation.send(body)
    #expect(conversation.received == body)
    #expect(conversation.server.write(body[...]) == count)
    try conversation.pump()
    #expect(try conversation.client.receive() == body)
  }

  @Test("A read takes no more than it is asked for, and says that more is there")
  func limits() throws {
    let conversation = try connected()
    let body = pattern(40_000)
    try conversation.client.send(body)
    conversation.server.received.append(contentsOf: conversation.client.takeOutput())
    var received: [UInt8] = []
    received.reserveCapacity(body.count)
    let address = received.withUnsafeBytes { $0.baseAddress }
    while received.count < body.count {
      #expect(conversation.server.hasBufferedInput)
      #expect(
        conversation.server.read(into: &received, atMost: min(999, body.count - received.count)).isBytes)
    }
    #expect(!conversation.server.hasBufferedInput)
    #expect(received == body)
    // Decrypted where it stays: the buffer was never replaced.
    #expect(received.withUnsafeBytes { $0.baseAddress } == address)
  }

  @Test("Without traffic a session holds no ciphertext buffer")
  func idle() throws {
    let conversation = try connected()
    try conversation.send(pattern(100_000))
    #expect(conversation.server.received.takeStorage() != nil)
    #expect(conversation.server.received.capacity == 0)
    #expect(conversation.server.outgoing.isEmpty)
  }

  @Test("The peer's end comes after its last byte, and answers can still be sent")
  func endOfClient() throws {
    for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
      let conversation = try connected(version: version)
      try conversation.client.send([1, 2, 3])
      conversation.client.finish()
      let ciphertext = conversation.client.takeOutput()
      conversation.server.received.append(contentsOf: ciphertext)
      var received: [UInt8] = []
      received.reserveCapacity(100)
      #expect(conversation.server.read(into: &received, atMost: 100) == .bytes(3))
      // Nothing more will come over the socket, so the end must be asked for.
      #expect(conversation.server.hasBufferedInput)
      #expect(conversation.server.read(into: &received, atMost: 97) == .end)
      #expect(!conversation.server.hasBufferedInput)
      #expect(conversation.server.read(into: &received, atMost: 97) == .end)
      #expect(conversation.server.write([4, 5][...]) == 2)
      conversation.client.takeInput(conversation.server.outgoing.slice)
      #expect(try conversation.client.receive() == [4, 5])
    }
  }

  @Test("The server's end reaches the client, once")
  func endOfServer() throws {
    let conversation = try connected()
    #expect(conversation.server.write([1][...]) == 1)
    conversation.server.finish()
    let count = conversation.server.outgoing.count
    conversation.server.finish()
    #expect(conversation.server.outgoing.count == count)
    try conversation.pump()
    #expect(try conversation.client.receive() == [1])
    #expect(conversation.client.hasReceivedEnd)
  }

  @Test("There is no end to send before the handshake or after a failure")
  func noEnd() throws {
    let session = try TLSSession(context)
    session.finish()
    #expect(session.outgoing.isEmpty)
    let conversation = try connected()
    conversation.feed([23, 3, 3, 0, 32] + [UInt8](repeating: 7, count: 32))
    guard case .failed = conversation.serverResult else {
      Issue.record("forged bytes were accepted: \(conversation.serverResult)")
      return
    }
    let alert = conversation.server.outgoing.count
    #expect(alert > 0)
    conversation.server.finish()
    #expect(conversation.server.outgoing.count == alert)
  }

  @Test("A record that is cut off is waited for, not delivered")
  func truncation() throws {
    let conversation = try connected()
    try conversation.client.send(pattern(1000))
    conversation.feed(conversation.client.takeOutput().dropLast())
    #expect(conversation.serverResult == .needsInput)
    #expect(conversation.received.isEmpty)
    #expect(!conversation.server.hasBufferedInput)
  }

  @Test("A client may change its keys at any time")
  func keyUpdate() throws {
    let conversation = try connected()
    for number in 0..<20 as Range<UInt8> {
      conversation.client.updateKeys()
      try conversation.send([number])
      #expect(conversation.server.write([number][...]) == 1)
      try conversation.pump()
      #expect(try conversation.client.receive() == [number])
    }
    #expect(conversation.received == Array(0..<20))
  }
}
