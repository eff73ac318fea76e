import ContentCodings
import HTTP1
public import TensorFormats

extension ZipCoding {
  /// The system's zlib.
  public static let zlib = ZipCoding(
    inflate: { bytes, byteCount, isInterrupted throws(Failure) in
      do throws(ContentCodingError) {
        return try RawDeflate.inflate(bytes, byteCount: byteCount, isInterrupted: isInterrupted)
      } catch {
        throw switch error {
        case .truncated: Failure("its compressed bytes hold less than the \(byteCount) bytes of its entry")
        case .tooLarge: Failure("its compressed bytes hold more than the \(byteCount) bytes of its entry")
        case .trailingBytes: Failure("there are bytes after its compressed stream")
        case .corrupt, .outOfProportion, .empty: Failure(error.reason)
        }
      }
    },
    crc32: { RawDeflate.crc32($0) })
}
