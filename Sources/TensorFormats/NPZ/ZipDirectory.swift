import JSON

/// The central directory of a zip archive (PKWARE APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3), checked against the local
/// headers.
///
/// Only what numpy, Python's `zipfile` and Info-ZIP write is accepted: one disk, no encryption, stored or deflated
/// entries that do not overlap, nothing in front of the archive. Where directory and local header could be read
/// differently by two readers, the archive is rejected.
struct ZipDirectory {
  struct Entry {
    let name: String
    let isDeflated: Bool
    let checksum: UInt32
    /// The content as it stands in the archive.
    let content: ArraySlice<UInt8>
    /// Decompressed.
    let byteCount: Int
    /// Of the local header in the archive, for errors.
    let offset: Int
  }

  static let maximumNameBytes = 256

  private static let localSignature = 0x0403_4b50
  private static let centralSignature = 0x0201_4b50
  private static let endSignature = 0x0605_4b50
  private static let end64Signature = 0x0606_4b50
  private static let locator64Signature = 0x0706_4b50

  /// In the order of the directory.
  let entries: [Entry]

  static func matches(_ prefix: ArraySlice<UInt8>) -> Bool {
    // The second is an archive without entries.
    prefix.starts(with: "PK\u{3}\u{4}".utf8) || prefix.starts(with: "PK\u{5}\u{6}".utf8)
  }

  init(_ archive: ArraySlice<UInt8>) throws(TensorFormatError) {
    let bytes = ZipBytes(archive)
    let (count, range) = try Self.directory(bytes)
    guard count <= TensorLists.maximumNames else {
      throw TensorFormatError(
        .invalidContent, "an archive of \(count) entries; at most \(TensorLists.maximumNames) are accepted")
    }
    var entries: [Entry] = []
    var names = Set<String>()
    var cursor = range.lowerBound
    for _ in 0..<count {
      let start = cursor
      let header = try CentralHeader(bytes, at: &cursor, end: range.upperBound)
      guard names.insert(header.name).inserted else {
        throw TensorFormatError(
          .invalidContent, byteOffset: start, "the archive holds '\(header.name.excerpt)' twice")
      }
      entries.append(try Self.entry(bytes, header, dataEnd: range.lowerBound))
    }
    guard cursor == range.upperBound else {
      throw bytes.malformed(cursor, "the directory continues after its \(count) entries")
    }
    try Self.refuseOverlaps(entries, bytes)
    self.entries = entries
  }

  // MARK: The end of the archive

  /// The number of entries and where the directory stands.
  private static func directory(
    _ bytes: ZipBytes
  ) throws(TensorFormatError) -> (count: Int, range: Range<Int>) {
    guard let end = endRecord(bytes) else {
      throw bytes.malformed(
        bytes.count, "no end record of a zip directory; the archive is cut off, or something follows it")
    }
    let disks = (bytes.number(end + 4, 2), bytes.number(end + 6, 2))
    let counts = (bytes.number(end + 8, 2), bytes.number(end + 10, 2))
    var (size, offset) = (bytes.number(end + 12, 4), bytes.number(end + 16, 4))
    var count = counts.1
    var directoryEnd = end
    let isLarge = counts.1 == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff
    if isLarge, let record = try end64Record(bytes, before: end) {
      (count, size, offset, directoryEnd) = record
    } else {
      guard disks == (0, 0), counts.0 == counts.1 else {
        throw bytes.malformed(end + 4, "archives on several disks are not supported")
      }
    }
    let (sum, overflow) = offset.addingReportingOverflow(size)
    guard !overflow, offset >= 0, size >= 0, sum == directoryEnd else {
      throw bytes.malformed(
        end + 12,
        "the directory is not where its end record says; there must be nothing before the archive")
    }
    return (count, offset..<sum)
  }

  /// Where the end record stands whose comment ends with the archive.
  private static func endRecord(_ bytes: ZipBytes) -> Int? {
    let length = 22
    guard bytes.count >= length else { return nil }
    let first = max(0, bytes.count - length - 0xffff)
    return (first...(bytes.count - length)).reversed().first { offset in
      bytes.number(offset, 1) == endSignature & 0xff && bytes.number(offset, 4) == endSignature
        && bytes.number(offset + 20, 2) == bytes.count - offset - length
    }
  }

  /// The ZIP64 end record; nil when there is none, and the numbers of the plain record mean what they say.
  private static func end64Record(
    _ bytes: ZipBytes, before end: Int
  ) throws(TensorFormatError) -> (count: Int, size: Int, offset: Int, start: Int)? {
    let locator = end - 20
    guard locator >= 0, bytes.number(locator, 4) == locator64Signature else { return nil }
    guard bytes.number(locator + 4, 4) == 0, bytes.number(locator + 16, 4) == 1,
      let start = bytes.number64(locator + 8), start <= locator - 56,
      bytes.number(start, 4) == end64Signature, bytes.number64(start + 4) == locator - start - 12
    else { throw bytes.malformed(locator, "the ZIP64 end record is damaged") }
    guard bytes.number(start + 16, 4) == 0, bytes.number(start + 20, 4) == 0,
      let count = bytes.number64(start + 32), bytes.number64(start + 24) == count,
      let size = bytes.number64(start + 40), let offset = bytes.number64(start + 48)
    else { throw bytes.malformed(start, "the ZIP64 end record is damaged, or the archive has several disks") }
    return (count, size, offset, start)
  }

  // MARK: Entries

  private static func entry(
    _ bytes: ZipBytes, _ header: CentralHeader, dataEnd: Int
  ) throws(TensorFormatError) -> Entry {
    let start = header.localOffset
    guard start <= dataEnd - 30, bytes.number(start, 4) == localSignature else {
      throw bytes.malformed(
        min(start, bytes.count), "no local header of '\(header.name)' where the directory says")
    }
    let nameLength = bytes.number(start + 26, 2)
    let contentStart = start + 30 + nameLength + bytes.number(start + 28, 2)
    guard contentStart <= dataEnd, header.compressedByteCount <= dataEnd - contentStart else {
      throw bytes.malformed(start, "'\(header.name)' reaches beyond the archive's content")
    }
    // The sizes and the checksum may follow the content (bit 3), which the directory makes up for.
    let isStreamed = header.flags & 8 != 0
    let checksum = bytes.number(start + 14, 4)
    var sizes = [bytes.number(start + 22, 4), bytes.number(start + 18, 4)]
    let extra = bytes.slice(start + 30 + nameLength, contentStart - start - 30 - nameLength)
    try Self.readLargeValues(&sizes, of: extra, bytes, at: start)
    let agrees =
      (sizes == [header.byteCount, header.compressedByteCount] || isStreamed && sizes == [0, 0])
      && (checksum == Int(header.checksum) || isStreamed && checksum == 0)
    guard bytes.number(start + 6, 2) == header.flags, bytes.number(start + 8, 2) == header.method, agrees,
      bytes.slice(start + 30, nameLength).elementsEqual(header.name.utf8)
    else {
      throw bytes.malformed(
        start, "the local header of '\(header.name)' and the directory disagree")
    }
    return Entry(
      name: header.name, isDeflated: header.method == 8, checksum: header.checksum,
      content: bytes.slice(contentStart, header.compressedByteCount), byteCount: header.byteCount,
      offset: start)
  }

  /// Entries that share bytes make a small archive hold a lot (D. Fifield, "A better zip bomb", 2019).
  private static func refuseOverlaps(_ entries: [Entry], _ bytes: ZipBytes) throws(TensorFormatError) {
    let sorted = entries.sorted { $0.offset < $1.offset }
    for (entry, next) in zip(sorted, sorted.dropFirst())
    where bytes.offset(of: entry.content.endIndex) > next.offset {
      throw bytes.malformed(next.offset, "'\(entry.name)' and '\(next.name)' overlap")
    }
  }

  private struct CentralHeader {
    let flags: Int
    let method: Int
    let checksum: UInt32
    let compressedByteCount: Int
    let byteCount: Int
    let localOffset: Int
    let name: String

    /// - Parameter cursor: in front of the header; behind it afterwards.
    init(_ bytes: ZipBytes, at cursor: inout Int, end: Int) throws(TensorFormatError) {
      let start = cursor
      guard start <= end - 46, bytes.number(start, 4) == ZipDirectory.centralSignature else {
        throw bytes.malformed(start, "the directory ends before its last entry, or is damaged")
      }
      let lengths = (bytes.number(start + 28, 2), bytes.number(start + 30, 2), bytes.number(start + 32, 2))
      cursor = start + 46 + lengths.0 + lengths.1 + lengths.2
      guard cursor <= end else {
        throw bytes.malformed(start, "an entry of the directory reaches beyond its end")
      }
      guard (1...ZipDirectory.maximumNameBytes).contains(lengths.0),
        let name = String(validating: bytes.slice(start + 46, lengths.0), as: UTF8.self),
        !name.utf8.contains(0)
      else {
        throw bytes.malformed(
          start, "the name of an entry is 1 to \(ZipDirectory.maximumNameBytes) bytes of UTF-8 without NUL")
      }
      self.name = name
      flags = bytes.number(start + 8, 2)
      method = bytes.number(start + 10, 2)
      checksum = UInt32(truncatingIfNeeded: bytes.number(start + 16, 4))
      // Encrypted, patched, strongly encrypted, masked.
      guard flags & 0x2061 == 0 else {
        throw TensorFormatError(
          .unsupported, tensor: name,
          flags & 0x2041 == 0
            ? "is a patch of another archive, which is not read"
            : "is encrypted; save the arrays without a password")
      }
      guard method == 0 || method == 8 else {
        throw TensorFormatError(
          .unsupported, tensor: name,
          "is compressed by method \(method); numpy.savez (stored) and numpy.savez_compressed (deflate) are read"
        )
      }
      var values = [bytes.number(start + 24, 4), bytes.number(start + 20, 4), bytes.number(start + 42, 4)]
      try ZipDirectory.readLargeValues(
        &values, of: bytes.slice(start + 46 + lengths.0, lengths.1), bytes, at: start)
      (byteCount, compressedByteCount, localOffset) = (values[0], values[1], values[2])
      guard bytes.number(start + 34, 2) == 0 else {
        throw bytes.malformed(start + 34, "archives on several disks are not supported")
      }
      guard method == 8 || byteCount == compressedByteCount else {
        throw bytes.malformed(start, "'\(name)' is stored, but has two sizes")
      }
      // What cannot be compressed grows by a thousandth at most; empty blocks would only take time.
      guard (compressedByteCount - 1024) / 2 <= byteCount else {
        throw bytes.malformed(
          start, "'\(name)' has \(compressedByteCount) compressed bytes for \(byteCount) bytes of content")
      }
    }
  }

  /// Takes size, compressed size and offset from the ZIP64 field, those that say 0xffffffff, in this order.
  private static func readLargeValues(
    _ values: inout [Int], of extra: ArraySlice<UInt8>, _ bytes: ZipBytes, at start: Int
  ) throws(TensorFormatError) {
    let fields = ZipBytes(extra)
    var cursor = 0
    var large: ZipBytes?
    // What is left of fewer than four bytes is padding that some writers leave.
    while cursor + 4 <= fields.count {
      let length = fields.number(cursor + 2, 2)
      guard cursor + 4 + length <= fields.count else {
        throw bytes.malformed(start, "an extra field of the directory reaches beyond its entry")
      }
      if fields.number(cursor, 2) == 1 {
        guard large == nil else { throw bytes.malformed(start, "an entry has two ZIP64 fields") }
        large = ZipBytes(fields.slice(cursor + 4, length))
      }
      cursor += 4 + length
    }
    guard let large else { return }
    var place = 0
    for index in values.indices where values[index] == 0xffff_ffff {
      guard place + 8 <= large.count, let value = large.number64(place) else {
        throw bytes.malformed(start, "the ZIP64 field of an entry is damaged")
      }
      values[index] = value
      place += 8
    }
  }
}

/// Little-endian numbers at offsets of an archive.
struct ZipBytes {
  private let bytes: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  var count: Int { bytes.count }

  func offset(of index: Int) -> Int { index - bytes.startIndex }

  /// - Precondition: `width` is at most 4, and the number lies in the archive.
  func number(_ offset: Int, _ width: Int) -> Int {
    slice(offset, width).reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  /// - Returns: nil for a number beyond 2^63.
  func number64(_ offset: Int) -> Int? {
    Int(exactly: slice(offset, 8).reversed().reduce(0) { $0 << 8 | UInt64($1) })
  }

  func slice(_ offset: Int, _ count: Int) -> ArraySlice<UInt8> {
    bytes[(bytes.startIndex + offset)..<(bytes.startIndex + offset + count)]
  }

  func malformed(_ offset: Int, _ message: String) -> TensorFormatError {
    TensorFormatError(.malformed, byteOffset: offset, "zip: " + message)
  }
}
