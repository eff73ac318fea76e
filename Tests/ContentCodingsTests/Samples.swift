import ContentCodings
import HTTP1

/// A text and what Python 3's `gzip` and `zlib` made of it.
enum Samples {
  static let text = Array(
    String(repeating: "a visual token is a patch; a patch is a visual token; ", count: 4).utf8)
  static let gzip = bytes(
    "1f8b08000000000002034b5428cb2c2e4dcc5128c9cf4ecd53c82c56485428482c49ceb086312062c8aaacd1f8"
      + "835117009c319fecd8000000")
  /// With an extra field, a file name, a comment and a checksum of the header.
  static let gzipWithEveryField = bytes(
    "1f8b081e0000000000030400616200006e616d6500636f6d6d656e74004a674b5428cb2c2e4dcc5128c9cf4ecd53c8"
      + "2c56485428482c49ceb086312062c8aaacd1f8835117009c319fecd8000000")
  static let zlib = bytes(
    "78da4b5428cb2c2e4dcc5128c9cf4ecd53c82c56485428482c49ceb086312062c8aaacd1f883511700db594af1")
  static let rawDeflate = bytes(
    "4b5428cb2c2e4dcc5128c9cf4ecd53c82c56485428482c49ceb086312062c8aaacd1f883511700")
  static let zlibWithDictionary = bytes(
    "78bb1fe704d64b542843e22964162b242a142496246758c31810316455d60a835f1700db594af1")

  static let coded: [(coding: ContentCoding, bytes: [UInt8])] = [
    (.gzip, gzip), (.gzip, gzipWithEveryField), (.deflate, zlib),
  ]

  static func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = hexadecimal.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }
}

/// Decodes pieces as a connection does: the buffer grows when, and only when, it has to.
func decoded(
  _ pieces: [ArraySlice<UInt8>], _ coding: ContentCoding, limit: Int = 1 << 20, room: Int = 64
) throws(ContentCodingError) -> [UInt8] {
  let inflater = Inflater(coding, maximumOutputBytes: limit)
  var output: [UInt8] = []
  output.reserveCapacity(room)
  for piece in pieces {
    var rest = piece
    while true {
      let (consumed, step) = try inflater.decode(rest, into: &output)
      rest = rest.dropFirst(consumed)
      guard step == .needsRoom else { break }
      output.reserveCapacity(output.capacity * 2)
    }
  }
  try inflater.finish()
  return output
}

func decoded(
  _ bytes: [UInt8], _ coding: ContentCoding, limit: Int = 1 << 20
) throws(ContentCodingError) -> [UInt8] {
  try decoded([bytes[...]], coding, limit: limit)
}
