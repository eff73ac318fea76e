import ContentCodings
import HTTP1
import JSON
import Tensors
import Testing

@testable import TensorFormats

/// Writes zip archives, also wrong ones.
struct ZipWriter {
  struct Entry {
    var name: String
    var content: [UInt8]
    var isDeflated = false
    var flags = 0
    /// Sizes in a ZIP64 field, as `numpy.savez` writes the local ones.
    var isLarge = false
    /// Sizes and checksum behind the content.
    var isStreamed = false
    var claimedByteCount: Int?
    var checksum: UInt32?
    var localName: String?
  }

  var entries: [Entry]
  var comment: [UInt8] = []
  /// ZIP64 end records, and counts that only they tell.
  var hasLargeEnd = false
  var count: Int?

  init(_ entries: [Entry]) { self.entries = entries }

  static func little(_ value: Int, _ width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  static func deflated(_ bytes: [UInt8]) -> [UInt8] {
    // Without the header and the trailer of gzip.
    Array((Deflater.encoded(bytes) ?? []).dropFirst(10).dropLast(8))
  }

  func bytes() -> [UInt8] {
    var archive: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let stored = entry.isDeflated ? Self.deflated(entry.content) : entry.content
      let size = entry.claimedByteCount ?? entry.content.count
      let checksum = Int(entry.checksum ?? RawDeflate.crc32(entry.content[...]))
      let start = archive.count
      let flags = entry.flags | (entry.isStreamed ? 8 : 0)
      let local = (entry.localName ?? entry.name).utf8
      let large =
        entry.isLarge
        ? Self.little(1, 2) + Self.little(16, 2) + Self.little(size, 8) + Self.little(stored.count, 8) : []
      let sizes = entry.isStreamed ? (0, 0, 0) : (checksum, stored.count, size)
      archive += Self.little(0x0403_4b50, 4) + Self.little(45, 2) + Self.little(flags, 2)
      archive += Self.little(entry.isDeflated ? 8 : 0, 2) + Self.little(0, 4) + Self.little(sizes.0, 4)
      archive += Self.little(entry.isLarge ? 0xffff_ffff : sizes.1, 4)
      archive += Self.little(entry.isLarge ? 0xffff_ffff : sizes.2, 4)
      archive += Self.little(local.count, 2) + Self.little(large.count, 2) + Array(local) + large + stored
      if entry.isStreamed {
        archive +=
          Self.little(0x0807_4b50, 4) + Self.little(checksum, 4) + Self.little(stored.count, 4)
          + Self.little(size, 4)
      }
      directory +=
        Self.little(0x0201_4b50, 4) + Self.little(45, 2) + Self.little(45, 2) + Self.little(flags, 2)
      directory += Self.little(entry.isDeflated ? 8 : 0, 2) + Self.little(0, 4) + Self.little(checksum, 4)
      directory += Self.little(entry.isLarge ? 0xffff_ffff : stored.count, 4)
      directory += Self.little(entry.isLarge ? 0xffff_ffff : size, 4)
      directory += Self.little(entry.name.utf8.count, 2) + Self.little(large.count, 2) + Self.little(0, 10)
      directory += Self.little(start, 4) + Array(entry.name.utf8) + large
    }
    let start = archive.count
    archive += directory
    let count = count ?? entries.count
    if hasLargeEnd {
      let end64 = archive.count
      archive += Self.little(0x0606_4b50, 4) + Self.little(44, 8) + Self.little(45, 2) + Self.little(45, 2)
      archive += Self.little(0, 8) + Self.little(count, 8) + Self.little(count, 8)
      archive += Self.little(directory.count, 8) + Self.little(start, 8)
      archive += Self.little(0x0706_4b50, 4) + Self.little(0, 4) + Self.little(end64, 8) + Self.little(1, 4)
    }
    let small = (count: hasLargeEnd ? 0xffff : count, place: hasLargeEnd ? 0xffff_ffff : start)
    archive += Self.little(0x0605_4b50, 4) + Self.little(0, 4) + Self.little(small.count, 2)
    archive += Self.little(small.count, 2) + Self.little(directory.count, 4) + Self.little(small.place, 4)
    return archive + Self.little(comment.count, 2) + comment
  }
}

@Suite("npz")
struct NPZTests {
  private static let coding = ZipCoding(
    inflate: { bytes, count, isInterrupted throws(ZipCoding.Failure) in
      do throws(ContentCodingError) {
        return try RawDeflate.inflate(bytes, byteCount: count, isInterrupted: isInterrupted)
      } catch {
        throw ZipCoding.Failure(error.reason)
      }
    }, crc32: { RawDeflate.crc32($0) })

  private static func hints(maximum: Int = .max, _ type: ElementType? = nil) -> DecodingHints {
    DecodingHints(
      parameterNames: ["keep_tokens", "keep_ratio", "method", "batched", "tensor_dtype", "layout"],
      elementType: type, zipCoding: coding, maximumDecodedBytes: maximum)
  }

  private static func decode(
    _ archive: [UInt8], _ hints: DecodingHints = hints()
  ) throws(TensorFormatError) -> TensorDocument {
    // Not at the start of its array, so that no index is an offset by chance.
    try NPZFormat.decode((Array("behind".utf8) + archive)[6...], hints)
  }

  private static func error(_ archive: [UInt8], _ hints: DecodingHints = hints()) -> TensorFormatError? {
    do throws(TensorFormatError) {
      _ = try decode(archive, hints)
      return nil
    } catch {
      return error
    }
  }

  private static func npy(_ tensor: Tensor) throws -> [UInt8] {
    try NPYFormat.encode([("t", tensor)], response: [:])
  }

  private static func npy(_ descriptor: String, _ data: [UInt8]) -> [UInt8] {
    let text = "{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (), }\n"
    return [0x93] + Array("NUMPY".utf8) + [1, 0] + ZipWriter.little(text.utf8.count, 2) + Array(text.utf8)
      + data
  }

  private static func text(_ text: String) -> [UInt8] {
    npy("<U\(text.unicodeScalars.count)", text.unicodeScalars.flatMap { ZipWriter.little(Int($0.value), 4) })
  }

  @Test("stored and deflated arrays are tensors by their names, whatever the writer's habits")
  func arrays() throws {
    let features = try counting(.float32, [5, 4])
    let attention = try counting(.float16, [5])
    let files = (try Self.npy(features), try Self.npy(attention))
    for variant in 0..<32 {
      var writer = ZipWriter(
        [("image_features.npy", files.0), ("attention.npy", files.1)].map { name, content in
          ZipWriter.Entry(
            name: name, content: content, isDeflated: variant & 1 != 0, isLarge: variant & 2 != 0,
            isStreamed: variant & 4 != 0)
        })
      writer.hasLargeEnd = variant & 8 != 0
      if variant & 16 != 0 { writer.comment = Array("PK\u{5}\u{6} a comment".utf8) }
      let document = try Self.decode(writer.bytes())
      #expect(document.tensors["image_features"] == .one(features))
      #expect(document.tensors["attention"] == .one(attention))
      #expect(document.parameters == [:])
    }
  }

  @Test("arrays without axes are parameters where a parameter has their name; texts always are")
  func parameters() throws {
    let one = try Tensor(elementType: .int64, shape: Shape([]), bytes: ZipWriter.little(64, 8)[...])
    let ratio = Self.npy("<f8", ZipWriter.little(Int(bitPattern: UInt(0.25.bitPattern)), 8))
    let document = try Self.decode(
      ZipWriter([
        .init(name: "keep_tokens.npy", content: try Self.npy(one)),
        .init(name: "keep_ratio.npy", content: ratio),
        .init(name: "method.npy", content: Self.text("divprune"), isDeflated: true),
        .init(name: "batched.npy", content: Self.npy("|b1", [1])),
        .init(name: "layout.npy", content: Self.npy("|S16", Array(#"{"type": "grid"}"#.utf8))),
        .init(name: "parameters.npy", content: Self.text(#"{"seed": 7}"#)),
        .init(name: "other.npy", content: try Self.npy(one)),
      ]).bytes())
    #expect(
      document.parameters == [
        "keep_tokens": 64, "keep_ratio": 0.25, "method": "divprune", "batched": true,
        "layout": ["type": "grid"],
        "seed": 7,
      ])
    #expect(document.tensors.names == ["other"])
  }

  @Test("bfloat16, which numpy writes as opaque bytes, is named by the query or by an array")
  func bfloat16() throws {
    var opaque = Self.npy("<V2", [0x80, 0x3f])
    opaque.replaceSubrange(opaque.firstRange(of: Array("()".utf8)) ?? 0..<0, with: Array("(1,)".utf8))
    opaque[8] += 2
    let entry = ZipWriter.Entry(name: "attention.npy", content: opaque)
    let named = ZipWriter.Entry(name: "tensor_dtype.npy", content: Self.text("BF16"))
    let expected = try Tensor(elementType: .bfloat16, shape: Shape([1]), bytes: [0x80, 0x3f])
    #expect(try Self.decode(ZipWriter([entry, named]).bytes()).tensors["attention"] == .one(expected))
    #expect(
      try Self.decode(ZipWriter([entry]).bytes(), Self.hints(.bfloat16)).tensors["attention"]
        == .one(expected))
    #expect(Self.error(ZipWriter([entry]).bytes())?.kind == .unsupported)
  }

  @Test("damage, tricks and archives of something else are refused by what is wrong")
  func refusals() throws {
    let file = try Self.npy(try counting(.float32, [3]))
    typealias Entry = ZipWriter.Entry
    func archive(_ change: (inout Entry) -> Void) -> [UInt8] {
      var entry = Entry(name: "attention.npy", content: file)
      change(&entry)
      return ZipWriter([entry]).bytes()
    }
    var twoCounts = ZipWriter([Entry(name: "a.npy", content: file)])
    twoCounts.count = 2
    let good = archive { _ in }
    var overlapping = ZipWriter([Entry(name: "a.npy", content: file), Entry(name: "b.npy", content: file)])
      .bytes()
    // The second entry of the directory points at the first content.
    let second = overlapping.lastRange(of: ZipWriter.little(0x0201_4b50, 4))
    overlapping.replaceSubrange(second + 42..<second + 46, with: ZipWriter.little(0, 4))
    let cases: [(archive: [UInt8], kind: TensorFormatError.Kind, word: String)] = [
      (archive { $0.flags = 1 }, .unsupported, "encrypted"),
      (archive { $0.flags = 0x41 }, .unsupported, "encrypted"),
      (archive { $0.flags = 0x20 }, .unsupported, "patch"),
      (archive { $0.checksum = 1 }, .malformed, "checksum"),
      (archive { ($0.isDeflated, $0.checksum) = (true, 1) }, .malformed, "checksum"),
      (archive { ($0.isDeflated, $0.claimedByteCount) = (true, file.count + 1) }, .malformed, "damaged"),
      (archive { ($0.isDeflated, $0.claimedByteCount) = (true, file.count - 1) }, .malformed, "damaged"),
      (archive { ($0.isDeflated, $0.claimedByteCount) = (true, 1 << 22) }, .malformed, "damaged"),
      (archive { $0.claimedByteCount = 7 }, .malformed, "two sizes"),
      (archive { $0.localName = "text_featur.npy" }, .malformed, "disagree"),
      (archive { $0.name = "attention.txt" }, .unsupported, "NAME.npy"),
      (archive { $0.name = "x/data.pkl" }, .unsupported, "pickle"),
      (archive { $0.name = ".npy" }, .unsupported, "NAME.npy"),
      (archive { $0.name = "arr_0.npy" }, .invalidContent, "give them names"),
      (archive { $0.name = "a\0.npy" }, .malformed, "NUL"),
      (archive { $0.content = Array("no array".utf8) }, .malformed, "NUMPY"),
      (archive { $0.content = Self.npy("|O", [0x80]) }, .unsupported, "pickle"),
      (
        ZipWriter([Entry(name: "a.npy", content: file), Entry(name: "a.npy", content: file)]).bytes(),
        .invalidContent, "twice"
      ),
      (twoCounts.bytes(), .malformed, "directory"),
      (overlapping, .malformed, ""),
      (good + [0], .malformed, "something follows"),
      (Array("#!".utf8) + good, .malformed, "before the archive"),
    ]
    for (archive, kind, word) in cases {
      let error = Self.error(archive)
      #expect(
        error?.kind == kind && error?.message.contains(word) == true, "\(word): \(String(describing: error))")
      #expect(error?.byteOffset.map { (0...archive.count).contains($0) } ?? true)
    }
    #expect(try Self.decode(ZipWriter([]).bytes()) == TensorDocument())
    // Cut off anywhere, and with any byte changed, nothing traps; the checksum guards the content.
    for length in 0..<good.count { #expect(Self.error(Array(good[..<length])) != nil) }
    for index in good.indices {
      var changed = good
      changed[index] ^= 0x55
      _ = Self.error(changed)
    }
  }

  @Test("what would be too large, or out of proportion, is refused before it is decompressed")
  func bombs() throws {
    let zeros = Self.npy("<f4", []).dropLast(0) + [UInt8](repeating: 0, count: 12 << 20)
    let bomb = ZipWriter([.init(name: "attention.npy", content: Array(zeros), isDeflated: true)]).bytes()
    #expect(bomb.count < 1 << 15)
    let error = Self.error(bomb)
    #expect(error?.kind == .tooLarge && error?.message.contains("200 times") == true)
    let small = ZipWriter([.init(name: "a.npy", content: Array(zeros.prefix(4 << 20)), isDeflated: true)])
      .bytes()
    #expect(Self.error(small, Self.hints(maximum: 1 << 20))?.kind == .tooLarge)
    #expect(NPZFormat.decodingBytes(of: small[...], Self.hints()) >= 4 << 20)
    let lie = ZipWriter([
      .init(name: "a.npy", content: [1], isDeflated: true, isLarge: true, claimedByteCount: Int.max)
    ]).bytes()
    #expect(Self.error(lie)?.kind == .tooLarge || Self.error(lie)?.kind == .malformed)
    #expect(NPZFormat.decodingBytes(of: lie[...], Self.hints()) >= 1 << 60)
  }
}

extension [UInt8] {
  /// Where the pattern begins last; the end where it is missing.
  fileprivate func lastRange(of pattern: [UInt8]) -> Int {
    indices.reversed().first { self[$0...].starts(with: pattern) } ?? count
  }
}
