import HTTP1

/// Where the bytes of a body come from.
protocol ByteSource: AnyObject {
  /// Appends at most `limit` bytes to `buffer`, within its reserved capacity: the base address never moves.
  func read(into buffer: inout [UInt8], atMost limit: Int) -> ReadOutcome
}

/// What moves a connection's bytes: a plain socket, or encryption on top of one.
///
/// Confined to one event loop; nothing blocks.
protocol ByteStream: ByteSource {
  /// For readiness registration only.
  var descriptor: Int32 { get }

  /// The peers have not agreed on a key yet, or the balancer has not said whose connection this is: nothing can be a
  /// request.
  var isHandshaking: Bool { get }

  /// Whether there is a session, with memory of its own.
  var isEncrypted: Bool { get }

  /// Whom a balancer says it speaks for, once it has said so; nil where nobody does.
  var announcedPeer: String? { get }

  /// Whether a read can deliver bytes although the socket is not readable.
  ///
  /// Encryption comes in records: the rest of one that is decrypted already is announced by no event.
  var hasBufferedInput: Bool { get }

  /// Whether bytes wait inside the stream for the socket to become writable.
  var hasPendingOutput: Bool { get }

  /// Takes over the unsent part of both buffers, `first` before `second`, in one system call where it can.
  func write(_ first: ArraySlice<UInt8>, _ second: ArraySlice<UInt8>) -> WriteOutcome

  /// Sends what waits inside; `.bytes(0)` once nothing waits any more.
  func flush() -> WriteOutcome

  /// Another descriptor of the same socket, for a loop that is to go on with the connection; the caller owns it.
  ///
  /// - Returns: nil where a descriptor is not all there is to it, or when there are no more.
  func duplicate() -> Int32?

  /// Tells the peer that nothing more will be sent.
  func finishWriting()

  /// The oldest descriptor that came with bytes read so far and was not taken; nil when there is none.
  ///
  /// - Throws: when one came and could not be held.
  func takeDescriptor() throws(SharedMemoryError) -> ReceivedDescriptor?

  /// All of them, for another stream over the same socket.
  func takeDescriptors() -> DescriptorQueue

  /// Closes all of them.
  func dropDescriptors()
}

// Only Unix sockets carry descriptors.
extension ByteStream {
  func takeDescriptor() throws(SharedMemoryError) -> ReceivedDescriptor? { nil }
  func takeDescriptors() -> DescriptorQueue { DescriptorQueue() }
  func dropDescriptors() {}
}

extension ByteStream {
  var isEncrypted: Bool { false }
  var announcedPeer: String? { nil }
}

enum ReadOutcome: Equatable {
  case bytes(Int)
  case wouldBlock
  /// The peer finished sending.
  case end
  case failed(SystemError)
  /// The peer speaks plain HTTP where TLS is spoken; what is written from now on goes out in the clear.
  case notTLS
  /// The connection does not begin with a header of the PROXY protocol, where that is expected.
  case notProxied(FramingError)
}

enum WriteOutcome: Equatable {
  case bytes(Int)
  case wouldBlock
  case failed(SystemError)
}
