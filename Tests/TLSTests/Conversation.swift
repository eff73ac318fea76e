import TLS
import TLSTesting

/// A client and a session under test with nothing but memory between them.
final class Conversation {
  let client: MemoryClient
  let server: TLSSession
  /// What the server decrypted.
  private(set) var received: [UInt8] = []
  private(set) var serverResult = TLSSession.ReadResult.needsInput

  init(
    _ context: TLSContext, _ options: MemoryClient.Options = .init(),
    resuming ticket: MemoryClient.Ticket? = nil
  )
    throws
  {
    client = try MemoryClient(options, resuming: ticket)
    server = try TLSSession(context)
  }

  /// Carries bytes both ways, `step` at a time, until neither side has any.
  func pump(step: Int = .max) throws {
    while true {
      var isQuiet = true
      var rest = client.takeOutput()[...]
      while !rest.isEmpty {
        isQuiet = false
        feed(rest.prefix(step))
        rest = rest.dropFirst(step)
      }
      var answer = Array(server.outgoing.slice)[...]
      server.outgoing.consume(answer.count)
      while !answer.isEmpty {
        isQuiet = false
        client.takeInput(answer.prefix(step))
        answer = answer.dropFirst(step)
        if try !client.handshake() { continue }
      }
      if isQuiet { return }
    }
  }

  /// Gives the server ciphertext and lets it read until it wants more.
  func feed(_ ciphertext: some Sequence<UInt8>) {
    server.received.append(contentsOf: ciphertext)
    repeat {
      received.reserveCapacity(received.count + (16 << 10))
      serverResult = server.read(into: &received, atMost: 16 << 10)
    } while serverResult.isBytes
  }

  /// - Throws: what the client makes of a handshake that fails.
  func shakeHands(step: Int = .max) throws {
    _ = try client.handshake()
    try pump(step: step)
    guard try client.handshake() else { throw ClientFailure(reason: "the handshake is not over") }
  }

  func send(_ plaintext: [UInt8], step: Int = .max) throws {
    try client.send(plaintext)
    try pump(step: step)
  }
}

extension TLSSession.ReadResult {
  var isBytes: Bool { if case .bytes = self { true } else { false } }
}
