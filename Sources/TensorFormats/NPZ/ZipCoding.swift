/// What zip archives need of a compression library; handed in, because this module links none.
public struct ZipCoding: Sendable {
  /// Why compressed bytes are not what their entry says.
  public struct Failure: Error, Sendable, Equatable {
    public let message: String

    public init(_ message: String) { self.message = message }
  }

  /// Decompresses a whole raw deflate stream (RFC 1951) into exactly `byteCount` bytes; nil once `isInterrupted`, which is
  /// asked every few milliseconds, is true.
  public let inflate:
    @Sendable (
      _ bytes: ArraySlice<UInt8>, _ byteCount: Int, _ isInterrupted: Interruption?
    ) throws(Failure) -> [UInt8]?
  /// The checksum of ISO 3309, as gzip and zip use it.
  public let crc32: @Sendable (_ bytes: ArraySlice<UInt8>) -> UInt32

  public init(
    inflate: @escaping @Sendable (ArraySlice<UInt8>, Int, Interruption?) throws(Failure) -> [UInt8]?,
    crc32: @escaping @Sendable (ArraySlice<UInt8>) -> UInt32
  ) {
    self.inflate = inflate
    self.crc32 = crc32
  }
}
