/// What moves a connection's bytes: a plain socket here; encryption is another conformance.
///
/// Confined to one event loop; nothing blocks.
protocol ByteStream: AnyObject {
  /// For readiness registration only.
  var descriptor: Int32 { get }

  /// Appends at most `limit` bytes to `buffer`, within its reserved capacity: the base address never moves.
  func read(into buffer: inout [UInt8], atMost limit: Int) -> ReadOutcome

  /// Writes the unsent part of both buffers, `first` before `second`, in one system call.
  func write(_ first: ArraySlice<UInt8>, _ second: ArraySlice<UInt8>) -> WriteOutcome

  /// Tells the peer that nothing more will be sent.
  func finishWriting()

  /// Whether a read can deliver bytes although the socket is not readable (decrypted or already received ciphertext).
  var hasBufferedInput: Bool { get }

  /// Whether bytes wait inside the stream for the socket to become writable (handshake or records).
  var hasPendingOutput: Bool { get }

  /// Sends what waits inside; `.bytes(0)` when nothing waits any more.
  func flush() -> WriteOutcome

  /// Whether keys are still being agreed on, so that not even a first request can have begun.
  var isHandshaking: Bool { get }
}

enum ReadOutcome: Equatable {
  case bytes(Int)
  case wouldBlock
  /// The peer finished sending.
  case end
  /// The peer speaks plain HTTP on a TLS port; from here on the stream is in the clear, from its first byte.
  case notTLS
  case failed(SystemError)
}

enum WriteOutcome: Equatable {
  case bytes(Int)
  case wouldBlock
  case failed(SystemError)
}
