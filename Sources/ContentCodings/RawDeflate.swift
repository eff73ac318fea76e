internal import CZlib
public import HTTP1

/// Deflate without a wrapper, as zip archives hold it, and the checksum beside it.
public enum RawDeflate {
  /// Decompresses a whole stream (RFC 1951) whose content has exactly `byteCount` bytes.
  ///
  /// Takes `byteCount` bytes of memory, whatever the stream says.
  /// - Parameter isInterrupted: asked every few milliseconds; once true, nothing more is decompressed.
  /// - Returns: nil when interrupted.
  /// - Throws: `corrupt`, `truncated`, `trailingBytes`, and `tooLarge` when it holds more.
  public static func inflate(
    _ bytes: ArraySlice<UInt8>, byteCount: Int, isInterrupted: (() -> Bool)? = nil
  ) throws(ContentCodingError) -> [UInt8]? {
    // The most that deflate reaches is 1032 bytes of content a byte.
    guard byteCount / 1032 <= bytes.count else { throw .truncated }
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    stream.initialize(to: z_stream())
    let status = crop_inflate_init(stream, -15)
    defer {
      inflateEnd(stream)
      stream.deallocate()
    }
    guard status == Z_OK else { throw .corrupt("zlib cannot start (\(status))") }
    var outcome: Int32? = Z_OK
    var rest = 0
    let output = [UInt8](unsafeUninitializedCapacity: byteCount) { output, initializedCount in
      (outcome, initializedCount, rest) = bytes.withUnsafeBytes {
        run(stream, $0, UnsafeMutableRawBufferPointer(output), isInterrupted)
      }
    }
    switch outcome {
    case nil: return nil
    case Z_STREAM_END:
      guard rest == 0 else { throw .trailingBytes }
      guard output.count == byteCount else { throw .truncated }
      return output
    case Z_OK, Z_BUF_ERROR:
      if output.count == byteCount, rest > 0 { throw .tooLarge(limit: byteCount) }
      throw .truncated
    default:
      throw .corrupt(
        "the compressed bytes are damaged: \(stream.pointee.msg.map { String(cString: $0) } ?? "invalid data")"
      )
    }
  }

  /// The CRC-32 of gzip and zip.
  public static func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.withUnsafeBytes { raw in
      UInt32(truncatingIfNeeded: crc32_z(0, raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count))
    }
  }

  /// A stream of empty blocks takes a hundred nanoseconds a byte, so that many take some milliseconds.
  private static let stepBytes = 64 << 10

  /// In steps, between which it may be interrupted; the status is nil then.
  private static func run(
    _ stream: UnsafeMutablePointer<z_stream>, _ input: UnsafeRawBufferPointer,
    _ output: UnsafeMutableRawBufferPointer, _ isInterrupted: (() -> Bool)?
  ) -> (status: Int32?, produced: Int, rest: Int) {
    var (consumed, produced) = (0, 0)
    // An empty array has no address, and zlib takes none for an error; nothing is written there.
    var nowhere: UInt8 = 0
    return withUnsafeMutablePointer(to: &nowhere) { nowhere in
      while true {
        let available = UInt32(min(input.count - consumed, stepBytes))
        let room = UInt32(min(output.count - produced, 64 * stepBytes))
        stream.pointee.next_in = UnsafeMutablePointer(
          mutating: input.baseAddress?.advanced(by: consumed).assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = available
        stream.pointee.next_out =
          output.baseAddress?.advanced(by: produced).assumingMemoryBound(to: UInt8.self) ?? nowhere
        stream.pointee.avail_out = room
        let status = CZlib.inflate(stream, Z_NO_FLUSH)
        let moved = (Int(available - stream.pointee.avail_in), Int(room - stream.pointee.avail_out))
        consumed += moved.0
        produced += moved.1
        if status != Z_OK || moved == (0, 0) { return (status, produced, input.count - consumed) }
        if isInterrupted?() == true { return (nil, produced, input.count - consumed) }
      }
    }
  }
}
