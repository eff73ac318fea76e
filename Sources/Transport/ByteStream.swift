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
}

enum ReadOutcome: Equatable {
  case bytes(Int)
  case wouldBlock
  /// The peer finished sending.
  case end
  case failed(SystemError)
}

enum WriteOutcome: Equatable {
  case bytes(Int)
  case wouldBlock
  case failed(SystemError)
}
