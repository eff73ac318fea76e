internal import CZlib
public import HTTP1

/// Compresses whole answers.
public enum Deflater {
  /// The bytes as one gzip member (RFC 1952) without name and time, or in the zlib format (RFC 1950), so that the same bytes
  /// give the same answer.
  ///
  /// - Parameter level: 1 (fastest) to 9 (smallest). From 5 on, text shrinks by a few percent more at most.
  /// - Returns: nil when the bytes cannot be compressed: there are 4 GiB or more of them, or no memory.
  public static func encoded(
    _ bytes: [UInt8], as coding: ContentCoding = .gzip, level: Int32 = 5
  ) -> [UInt8]? {
    guard let count = UInt32(exactly: bytes.count) else { return nil }
    var stream = z_stream()
    return withUnsafeMutablePointer(to: &stream) { stream -> [UInt8]? in
      guard crop_deflate_init(stream, level, coding == .gzip ? 15 + 16 : 15) == Z_OK else { return nil }
      defer { deflateEnd(stream) }
      let bound = deflateBound(stream, UInt(count))
      guard let room = UInt32(exactly: bound) else { return nil }
      var isComplete = false
      let output = [UInt8](unsafeUninitializedCapacity: Int(room)) { output, initializedCount in
        bytes.withUnsafeBufferPointer { input in
          stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
          stream.pointee.avail_in = count
          stream.pointee.next_out = output.baseAddress
          stream.pointee.avail_out = room
          isComplete = deflate(stream, Z_FINISH) == Z_STREAM_END
        }
        initializedCount = Int(room - stream.pointee.avail_out)
      }
      return isComplete ? output : nil
    }
  }
}
