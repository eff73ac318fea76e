internal import CZlib
public import HTTP1

/// Undoes one content coding, piece by piece, with a hard limit on what comes out.
///
/// There is a limit on the ratio too, once the size is worth it: deflate reaches 1032:1, but only for what is all
/// zeros; tensors of features stay below 10:1, and padded or one-hot ones below 100:1. And there is one on streams that grow
/// by being coded: blocks without content take time. Codings are never nested.
///
/// A class, because zlib's state points back at its stream, which therefore must not move. Confined to one thread.
public final class Inflater {
  public enum Step: Sendable, Equatable {
    /// All input is consumed; more of it is needed.
    case needsInput
    /// The output's reserved capacity is used up and input is left.
    case needsRoom
    /// All input is consumed, and it ended a complete stream. (A gzip stream may still go on with another member.)
    case finished
  }

  /// As the zlib that is loaded says: `1.3.1`.
  public static var libraryVersion: String { String(cString: zlibVersion()) }

  private enum State {
    /// Amidst a stream, or before the first byte of the first.
    case decoding
    /// Behind a complete stream.
    case complete
    case failed(ContentCodingError)
  }

  private let stream: UnsafeMutablePointer<z_stream>
  private let coding: ContentCoding
  private let maximumOutputBytes: Int
  private let maximumRatio: Int
  private var state = State.decoding
  private var outputByteCount = 0
  private var inputByteCount = 0
  /// Bytes of the current stream or gzip member consumed.
  private var memberByteCount = 0
  private var isFirstMember = true

  /// The output from which on the ratio is limited: smaller ones harm nobody, and a large one may begin with zeros.
  public static let ratioGrace = 8 << 20
  public static let standardRatio = 200
  /// The input from which on half as much must have come out; what cannot be compressed grows by a thousandth.
  public static let emptyGrace = 1 << 20

  /// - Parameters:
  ///   - maximumOutputBytes: decoding stops with `ContentCodingError.tooLarge` before it yields one byte
  ///     more.
  ///   - maximumRatio: decoded to coded bytes, beyond the first ``ratioGrace`` bytes.
  public init(_ coding: ContentCoding, maximumOutputBytes: Int, maximumRatio: Int = standardRatio) {
    self.coding = coding
    self.maximumOutputBytes = maximumOutputBytes
    self.maximumRatio = maximumRatio
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // 15: the largest window, so that every stream can be read; 16 more: a gzip wrapper, and nothing else.
    let status = crop_inflate_init(stream, coding == .gzip ? 15 + 16 : 15)
    precondition(
      status == Z_OK, "zlib cannot start (\(status)): out of memory, or not the version compiled for")
  }

  deinit {
    inflateEnd(stream)
    stream.deinitialize(count: 1)
    stream.deallocate()
  }

  /// Consumes a prefix of `input` and appends what it stands for to `output`, within its reserved capacity only:
  /// the buffer's address never changes.
  ///
  /// - Returns: how much of `input` was consumed, which is all of it unless the step is ``Step/needsRoom``.
  /// - Throws: `corrupt`, `trailingBytes`, `tooLarge`; and the same again on every later call. What was appended
  ///   before is worth nothing then: checksums stand at the end.
  public func decode(
    _ input: UnsafeRawBufferPointer, into output: inout [UInt8]
  ) throws(ContentCodingError) -> (consumed: Int, step: Step) {
    var consumed = 0
    while true {
      switch state {
      case .failed(let error): throw error
      case .complete:
        guard consumed < input.count else { return (consumed, .finished) }
        try startNextMember(input[consumed])
      case .decoding:
        guard consumed < input.count else { return (consumed, .needsInput) }
        let rest = UnsafeRawBufferPointer(rebasing: input[consumed...])
        if outputByteCount == maximumOutputBytes {
          consumed += try inflateBeyondLimit(rest)
        } else {
          let room = min(output.capacity - output.count, maximumOutputBytes - outputByteCount)
          guard room > 0 else { return (consumed, .needsRoom) }
          consumed += try inflateTail(rest, room: room, of: &output)
        }
      }
    }
  }

  /// The same for bytes in an array.
  public func decode(
    _ input: ArraySlice<UInt8>, into output: inout [UInt8]
  ) throws(ContentCodingError) -> (consumed: Int, step: Step) {
    try input.withUnsafeBufferPointer { bytes throws(ContentCodingError) in
      try decode(UnsafeRawBufferPointer(bytes), into: &output)
    }
  }

  /// To be called when the coded body has ended.
  ///
  /// - Throws: `truncated` unless its stream is complete, or what decoding failed with.
  public func finish() throws(ContentCodingError) {
    switch state {
    case .complete: return
    case .decoding: throw fail(.truncated)
    case .failed(let error): throw error
    }
  }

  // MARK: Steps

  private func inflateTail(
    _ input: UnsafeRawBufferPointer, room: Int, of output: inout [UInt8]
  ) throws(ContentCodingError) -> Int {
    var moved = (consumed: 0, produced: 0)
    var status = Z_OK
    // The array's tail is uninitialised memory that zlib fills: no zeroing, no copy.
    output.append(addingCapacity: room) { tail in
      tail.withUnsafeMutableBufferPointer { pointer, initializedCount in
        (status, moved) = step(input, UnsafeMutableRawBufferPointer(start: pointer.baseAddress, count: room))
        initializedCount = moved.produced
      }
    }
    outputByteCount += moved.produced
    try check(status, moved.consumed)
    return moved.consumed
  }

  /// The end of the stream may still be missing when the limit is reached; one byte more of content may not.
  private func inflateBeyondLimit(_ input: UnsafeRawBufferPointer) throws(ContentCodingError) -> Int {
    var moved = (consumed: 0, produced: 0)
    var status = Z_OK
    withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { scratch in
      (status, moved) = step(input, scratch)
    }
    guard moved.produced == 0 else { throw fail(.tooLarge(limit: maximumOutputBytes)) }
    try check(status, moved.consumed)
    return moved.consumed
  }

  private func step(
    _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer
  ) -> (status: Int32, moved: (consumed: Int, produced: Int)) {
    // zlib counts in 32 bits and does not write to its input, although its type does not say so.
    let available = UInt32(clamping: input.count)
    let room = UInt32(clamping: output.count)
    stream.pointee.next_in = UnsafeMutablePointer(
      mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = available
    stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
    stream.pointee.avail_out = room
    let status = inflate(stream, Z_NO_FLUSH)
    let moved = (Int(available - stream.pointee.avail_in), Int(room - stream.pointee.avail_out))
    stream.pointee.next_in = nil
    stream.pointee.next_out = nil
    return (status, moved)
  }

  private func check(_ status: Int32, _ consumed: Int) throws(ContentCodingError) {
    memberByteCount += consumed
    inputByteCount += consumed
    guard outputByteCount <= Self.ratioGrace || outputByteCount / maximumRatio <= inputByteCount else {
      throw fail(.outOfProportion(limit: maximumRatio))
    }
    guard inputByteCount <= Self.emptyGrace || outputByteCount >= inputByteCount / 2 else {
      throw fail(.empty)
    }
    switch status {
    case Z_OK: break
    case Z_STREAM_END: state = .complete
    case Z_NEED_DICT:
      throw fail(.corrupt("the stream needs a preset dictionary, which HTTP has no way to send"))
    case Z_DATA_ERROR: throw fail(isFirstMember || memberByteCount > 2 ? corruption : .trailingBytes)
    case let other: throw fail(.corrupt("zlib gave up on the stream (\(other))"))
    }
  }

  private func startNextMember(_ first: UInt8) throws(ContentCodingError) {
    // RFC 1952 section 2.2: members follow one another, with nothing between or behind. A zlib stream is alone.
    guard coding == .gzip, first == 0x1f else { throw fail(.trailingBytes) }
    inflateReset(stream)
    memberByteCount = 0
    isFirstMember = false
    state = .decoding
  }

  private func fail(_ error: ContentCodingError) -> ContentCodingError {
    state = .failed(error)
    return error
  }

  private var corruption: ContentCodingError {
    guard memberByteCount > 2 else {
      return switch coding {
      case .gzip: .corrupt("the body does not start as gzip does (RFC 1952)")
      case .deflate:
        .corrupt(
          "the body does not start with a zlib header (RFC 1950), which the coding 'deflate' has; "
            + "raw deflate has no checksum and is not accepted")
      }
    }
    let reason = stream.pointee.msg.map { String(cString: $0) } ?? "invalid data"
    return .corrupt("the coded body is damaged: \(reason)")
  }
}
