/// Formats that are recognised only to be rejected with a message that says what to send instead.
extension TensorFormats {
  /// Why a body of this media type is rejected, or nil when the type is not one known to be rejected.
  public static func refusedByName(mediaType: String) -> String? {
    let essence = essence(of: mediaType)
    if essence.hasPrefix("image/") || essence.hasPrefix("video/") {
      return "\(essence) holds pixels; \(tensors)"
    }
    return refusedMediaTypes.first { $0.types.contains(essence) }?.message
  }

  /// Why a body that starts with `prefix` is rejected, or nil when it is not known to be.
  public static func refusedByName(prefix: ArraySlice<UInt8>) -> String? {
    if prefix.first == 0x80, let version = prefix.dropFirst().first, (2...5).contains(version) {
      return pickle
    }
    return isLaterPicture(prefix) ? picture : refusedPrefixes.first { prefix.starts(with: $0.magic) }?.message
  }

  /// Pictures whose first bytes alone do not tell: AVIF, HEIC and MP4 (ISO base media files), and BMP.
  private static func isLaterPicture(_ prefix: ArraySlice<UInt8>) -> Bool {
    prefix.dropFirst(4).starts(with: "ftyp".utf8)
      || prefix.starts(with: "BM".utf8) && prefix.dropFirst(6).starts(with: [0, 0, 0, 0])
  }

  private static let pickle =
    "pickle can run code when it is read and is never accepted: \(alternatives)"
  private static let archive =
    "the body is a zip archive, and Content-Type names another format; send npz as application/x-npz, or without a type"
  private static let picture = "this is a picture; \(tensors)"
  private static let tensors =
    "this service takes the tensors that a vision encoder makes of one, such as image_features [N, D] or attention [N]; "
    + "docs/tensors.md says where in a model they come from: \(alternatives)"

  private static let refusedMediaTypes: [(types: [String], message: String)] = [
    (
      [
        "application/pickle", "application/x-pickle", "application/python-pickle",
        "application/x-python-pickle",
        "application/vnd.python.pickle", "application/x-pytorch", "application/x-torch",
      ], pickle
    ),
    (
      ["multipart/mixed", "multipart/related"],
      "of multipart bodies only multipart/form-data (curl -F) is read: \(alternatives)"
    ),
    (["application/x-hdf5", "application/x-hdf"], "HDF5 is not accepted: \(alternatives)"),
  ]

  private static let refusedPrefixes: [(magic: [UInt8], message: String)] = [
    (Array("PK\u{3}\u{4}".utf8), archive),
    (Array("PK\u{5}\u{6}".utf8), archive),
    ([0x89] + Array("PNG".utf8), picture),
    ([0xff, 0xd8, 0xff], picture),
    (Array("GIF8".utf8), picture),
    (Array("RIFF".utf8), picture),
    (Array("II*\0".utf8), picture),
    (Array("MM\0*".utf8), picture),
    (Array("%PDF".utf8), picture),
    ([0x89] + Array("HDF".utf8), "HDF5 is not accepted: \(alternatives)"),
    (
      [0x1f, 0x8b],
      "the body is compressed with gzip; send it with the field Content-Encoding: gzip, or uncompressed: \(alternatives)"
    ),
    (
      [0x28, 0xb5, 0x2f, 0xfd],
      "the body is compressed with zstd, which is not read; use gzip, or \(alternatives)"
    ),
    (
      [0x04, 0x22, 0x4d, 0x18],
      "the body is compressed with lz4, which is not read; use gzip, or \(alternatives)"
    ),
    (
      Array("--".utf8),
      "the body looks like multipart/form-data, but Content-Type, which names the boundary, does not say so; let the client "
        + "set that field"
    ),
  ]
}
