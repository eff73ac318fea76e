/// The keys of one key file, compared in a time that does not depend on them.
///
/// One key a line, `key` or `name key`; empty lines and lines that start with `#` say nothing.
public struct APIKeyTable: Sendable {
  /// Visible ASCII characters in a key. 16 of them, drawn at random, are about 100 bits.
  public static let keyLengths = 16...256
  /// Every request is compared with every key.
  public static let maximumCount = 1_000

  private var names: [String?] = []
  private var lengths: [Int] = []
  /// Each key in `keyLengths.upperBound` bytes, filled up with zeros.
  private var padded: [UInt8] = []

  public var count: Int { lengths.count }

  /// - Throws: for the first line that is neither a key, a name and a key, nor a comment, for a key that is given
  ///   twice, and when there is no key at all. No message holds a key, or a part of one.
  public init(parsing file: [UInt8]) throws(APIKeyError) {
    let lines = file.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (line, number) in zip(lines, 1...) where !Self.isComment(line) {
      let words = line.split { $0 == UInt8(ascii: " ") || $0 == 0x09 || $0 == 0x0d }
      guard let key = words.last else { continue }
      guard words.count <= 2 else {
        throw APIKeyError("line \(number): holds \(words.count) words; a line is KEY or NAME KEY")
      }
      if let problem = Self.problem(ofKey: key) { throw APIKeyError("line \(number): \(problem)") }
      guard index(of: key) == nil else {
        throw APIKeyError("line \(number): repeats the key of an earlier line")
      }
      guard count < Self.maximumCount else {
        throw APIKeyError("line \(number): more than \(Self.maximumCount) keys")
      }
      names.append(words.count == 2 ? try Self.name(words[0], line: number) : nil)
      lengths.append(key.count)
      padded += key + Array(repeating: 0, count: Self.keyLengths.upperBound - key.count)
    }
    guard count > 0 else { throw APIKeyError("holds no key; a line is KEY or NAME KEY") }
  }

  /// The place of the key that equals `candidate`, nil when there is none.
  ///
  /// Every byte of every key is looked at, whatever was found before, and nothing branches on what was found: the
  /// time tells how many keys there are, and no more.
  func index(of candidate: ArraySlice<UInt8>) -> Int? {
    let width = Self.keyLengths.upperBound
    var received = [UInt8](repeating: 0, count: width)
    for (offset, byte) in candidate.prefix(width).enumerated() { received[offset] = byte }
    var found = 0
    for key in 0..<count {
      var difference = UInt64(truncatingIfNeeded: candidate.count ^ lengths[key])
      for offset in 0..<width { difference |= UInt64(padded[key &* width &+ offset] ^ received[offset]) }
      // Only zero has a highest bit once one is taken away: lengths and bytes stay far below.
      let isEqual = Int(truncatingIfNeeded: (difference &- 1) &>> 63)
      found |= isEqual &* (key &+ 1)
    }
    return found == 0 ? nil : found - 1
  }

  /// What the file calls the key, for the log.
  func name(at index: Int) -> String? { names[index] }

  // MARK: Lines

  private static func isComment(_ line: ArraySlice<UInt8>) -> Bool { line.first == UInt8(ascii: "#") }

  private static func problem(ofKey key: ArraySlice<UInt8>) -> String? {
    guard key.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
      return "a key may have only visible ASCII characters"
    }
    guard keyLengths.contains(key.count) else {
      return "a key has \(keyLengths.lowerBound) to \(keyLengths.upperBound) characters, not \(key.count)"
    }
    return nil
  }

  private static func name(_ word: ArraySlice<UInt8>, line: Int) throws(APIKeyError) -> String {
    guard isPlainName(word) else {
      throw APIKeyError(
        "line \(line): the name before the key may have up to 64 letters, digits, '-', '_' and '.'")
    }
    return String(decoding: word, as: UTF8.self)
  }
}

/// What is wrong with a key file; never says a key.
public struct APIKeyError: Error, Sendable, Equatable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}

/// Whether it is 1 to 64 letters, digits, `-`, `_` and `.`, as names are that operators give.
func isPlainName(_ name: some Collection<UInt8>) -> Bool {
  (1...64).contains(name.count)
    && name.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
        true
      default: false
      }
    }
}
