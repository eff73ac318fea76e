import JSON

/// npz, numpy's archive of named arrays: a zip of one npy for each (`numpy.savez`, stored, and `savez_compressed`,
/// deflated).
///
/// An array without axes whose name is a parameter's is that parameter, and so is every array of one text:
/// `numpy.savez("request.npz", attention=row, keep_tokens=64, method="topk")`. The text `parameters` is a JSON object of
/// parameters. Stored tensors are views of the body.
public enum NPZFormat: TensorFormat {
  public static let name = "npz"
  public static let mediaTypes = [
    "application/x-npz", "application/npz", "application/vnd.numpy.npz", "application/zip",
    "application/x-zip-compressed",
  ]

  /// Beyond the first ``ratioGrace`` bytes, decompressed content may be this many times as large as the archive: features
  /// shrink to a half at best, and padded or one-hot arrays to a hundredth.
  static let maximumRatio = 200
  static let ratioGrace = 8 << 20

  private static let suffix = ".npy"

  public static func matches(_ prefix: ArraySlice<UInt8>) -> Bool { ZipDirectory.matches(prefix) }

  public static func decode(
    _ body: ArraySlice<UInt8>, _ hints: DecodingHints
  ) throws(TensorFormatError) -> TensorDocument {
    guard let coding = hints.zipCoding else {
      throw TensorFormatError(
        .unsupported, "zip archives (.npz) are not accepted here; \(TensorFormats.alternatives)")
    }
    let directory = try ZipDirectory(body)
    try refuseExcess(directory, of: body, hints)
    var document = NPZDocument(hints, start: body.startIndex)
    // Parameters come first, as one of them may say what the elements of a tensor are.
    var arrays: [(name: String, npy: ArraySlice<UInt8>, entry: ZipDirectory.Entry)] = []
    for entry in directory.entries {
      try hints.checkInterruption()
      let name = try arrayName(entry)
      let npy = try content(of: entry, named: name, coding, hints)
      if try !document.addParameter(name, npy, entry) { arrays.append((name, npy, entry)) }
    }
    for (name, npy, entry) in arrays {
      try hints.checkInterruption()
      try document.addTensor(name, npy, entry)
    }
    return try document.document()
  }

  /// What is decompressed, and copies where elements lie in another order.
  public static func decodingBytes(of body: ArraySlice<UInt8>, _ hints: DecodingHints) -> Int {
    decodingBytes(of: body, hints, isAlone: true)
  }

  /// - Parameter isAlone: whether it is the whole body: then small texts take what any request may. A form may have
  ///   thousands of small archives.
  static func decodingBytes(
    of body: ArraySlice<UInt8>, _ hints: DecodingHints, isAlone: Bool
  ) -> Int {
    guard let directory = try? ZipDirectory(body) else { return 0 }
    // A small archive may hold texts of many values, which no header tells before it is decompressed.
    let content = directory.entries.reduce(0) {
      min($0 + min($1.byteCount, 1 << 40), ParameterTextBudget.maximumBytes)
    }
    var bytes =
      isAlone && content <= ParameterTextBudget.maximumValueCount
      ? 0 : ParameterTextBudget.memory(ofTexts: content)
    for entry in directory.entries {
      // The header of a compressed array is not seen before it is decompressed: its elements may need a copy.
      let copies =
        entry.isDeflated
        ? 3 * min(entry.byteCount, Int.max / 4) : NPYFormat.decodingBytes(of: entry.content, hints)
      let (sum, overflow) = bytes.addingReportingOverflow(copies + 1024)
      guard !overflow else { return Int.max }
      bytes = sum
    }
    return bytes
  }

  /// - Throws: `.tooLarge` for content beyond the limit, or out of proportion to the archive.
  private static func refuseExcess(
    _ directory: ZipDirectory, of body: ArraySlice<UInt8>, _ hints: DecodingHints
  ) throws(TensorFormatError) {
    var total = 0
    for entry in directory.entries {
      let (sum, overflow) = total.addingReportingOverflow(entry.byteCount)
      guard !overflow, sum <= hints.maximumDecodedBytes else {
        throw TensorFormatError(
          .tooLarge, "the archive's content is larger than \(hints.maximumDecodedBytes) bytes")
      }
      total = sum
    }
    guard total <= ratioGrace || total / maximumRatio <= body.count else {
      throw TensorFormatError(
        .tooLarge,
        "the archive's content is more than \(maximumRatio) times as large as the archive; send it stored (numpy.savez)"
      )
    }
  }

  /// `attention` for the entry `attention.npy`.
  private static func arrayName(_ entry: ZipDirectory.Entry) throws(TensorFormatError) -> String {
    guard entry.name.hasSuffix(suffix), entry.name.utf8.count > suffix.utf8.count else {
      let isPickle = entry.name.hasSuffix(".pkl")
      throw TensorFormatError(
        .unsupported, byteOffset: entry.offset,
        isPickle
          ? "the archive holds '\(entry.name)': .pt holds pickle, which can run code when it is read and is never accepted; "
            + TensorFormats.alternatives
          : "the archive holds '\(entry.name.excerpt)', and npz holds only arrays, each NAME.npy; write it with "
            + "numpy.savez, or \(TensorFormats.alternatives)")
    }
    let name = String(entry.name.dropLast(suffix.utf8.count))
    guard !isPositional(name) else {
      throw TensorFormatError(
        .invalidContent, tensor: name,
        "numpy.savez calls arrays without a name '\(name)'; give them names: numpy.savez(file, image_features=...)"
      )
    }
    return name
  }

  private static func isPositional(_ name: String) -> Bool {
    name.hasPrefix("arr_") && name.utf8.count > 4
      && name.utf8.dropFirst(4).allSatisfy { (0x30...0x39).contains($0) }
  }

  /// An entry's npy, whose checksum is right.
  private static func content(
    of entry: ZipDirectory.Entry, named name: String, _ coding: ZipCoding, _ hints: DecodingHints
  ) throws(TensorFormatError) -> ArraySlice<UInt8> {
    let content: ArraySlice<UInt8>
    if entry.isDeflated {
      let inflated: [UInt8]?
      do throws(ZipCoding.Failure) {
        inflated = try coding.inflate(entry.content, entry.byteCount, hints.isInterrupted)
      } catch {
        throw damaged(entry, name, error.message)
      }
      guard let inflated else { throw TensorFormatError(.interrupted, "") }
      content = inflated[...]
    } else {
      content = entry.content
    }
    guard coding.crc32(content) == entry.checksum else {
      throw damaged(entry, name, "its checksum differs from the archive's")
    }
    return content
  }

  private static func damaged(
    _ entry: ZipDirectory.Entry, _ name: String, _ reason: String
  ) -> TensorFormatError {
    var error = TensorFormatError(.malformed, tensor: name, "'\(entry.name)' is damaged: \(reason)")
    error.byteOffset = entry.offset
    return error
  }
}
