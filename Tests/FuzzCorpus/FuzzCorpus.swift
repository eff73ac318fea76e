public import Foundation

/// The inputs that fuzzing found worth keeping: an archive Fuzz/Corpus/TARGET.tar for each target.
public enum FuzzCorpus {
  public static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fuzz/Corpus")

  public struct DamagedArchive: Error {}

  /// The inputs of one target, by name.
  ///
  /// - Throws: where there is no such archive, or it is no POSIX.1-1988 (ustar) one.
  public static func inputs(of target: String) throws -> [(name: String, bytes: [UInt8])] {
    try files(ofArchive: [UInt8](try Data(contentsOf: folder.appendingPathComponent(target + ".tar"))))
  }

  /// Blocks of 512 bytes: a header, then the file it describes.
  private static func files(ofArchive archive: [UInt8]) throws -> [(name: String, bytes: [UInt8])] {
    var files: [(String, [UInt8])] = []
    var start = 0
    func text(_ range: Range<Int>) -> String {
      String(decoding: archive[range].prefix { $0 != 0 && $0 != UInt8(ascii: " ") }, as: UTF8.self)
    }
    while start + 512 <= archive.count, archive[start] != 0 {
      guard let size = Int(text(start + 124..<start + 136), radix: 8), start + 512 + size <= archive.count
      else { throw DamagedArchive() }
      files.append((text(start..<start + 100), Array(archive[start + 512..<start + 512 + size])))
      start += 512 + (size + 511) / 512 * 512
    }
    return files
  }
}
