import Tensors

/// The Python dictionary in front of an npy array, read by a parser that knows nothing but this dictionary.
struct NPYHeader {
  /// numpy rejects longer ones as well.
  static let maximumLength = 10_000

  private(set) var descriptor = ""
  private(set) var isFortranOrder = false
  private(set) var dimensions: [Int] = []

  private let text: ArraySlice<UInt8>
  /// Index of the next unread byte.
  private var cursor: Int
  private let start: Int
  private let tensor: String

  init(_ text: ArraySlice<UInt8>, startingAt offset: Int, tensor: String) throws(TensorFormatError) {
    self.text = text
    cursor = text.startIndex
    start = text.startIndex - offset
    self.tensor = tensor
    try readDictionary()
  }

  private mutating func readDictionary() throws(TensorFormatError) {
    try take("{")
    // One bit per key, in the order of their names.
    var seen = 0
    while peek() != UInt8(ascii: "}") {
      let key = try readString("a key")
      guard let index = Self.index(of: key), seen & 1 << index == 0 else {
        throw malformed(
          Self.index(of: key) != nil
            ? "the key '\(key)' occurs twice" : "the key '\(key)' is not one of descr, fortran_order, shape")
      }
      seen |= 1 << index
      try take(":")
      switch index {
      case 0: descriptor = try readDescriptor()
      case 1: isFortranOrder = try readTruth()
      default: dimensions = try readTuple()
      }
      if peek() != UInt8(ascii: "}") { try take(",") }
    }
    try take("}")
    if seen != 0b111 {
      let key = ["descr", "fortran_order", "shape"][(~seen).trailingZeroBitCount]
      throw malformed("the key '\(key)' is missing")
    }
    guard peek() == nil else { throw malformed("expected the end of the header") }
  }

  private static func index(of key: String) -> Int? {
    switch key {
    case "descr": 0
    case "fortran_order": 1
    case "shape": 2
    default: nil
    }
  }

  private mutating func readDescriptor() throws(TensorFormatError) -> String {
    guard peek() != UInt8(ascii: "[") else {
      throw TensorFormatError(
        .unsupported, tensor: tensor, "structured npy arrays are not supported; send one tensor per array")
    }
    return try readString("a dtype")
  }

  private mutating func readTruth() throws(TensorFormatError) -> Bool {
    _ = peek()
    for (word, value) in [("True", true), ("False", false)] where text[cursor...].starts(with: word.utf8) {
      cursor += word.utf8.count
      return value
    }
    throw malformed("expected True or False")
  }

  private mutating func readString(_ what: String) throws(TensorFormatError) -> String {
    guard let quote = peek(), quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      throw malformed("expected \(what) in quotes")
    }
    var end = cursor + 1
    while end < text.endIndex, text[end] != quote { end += 1 }
    guard end < text.endIndex else { throw malformed("an unterminated string") }
    let content = text[(cursor + 1)..<end]
    guard content.allSatisfy({ (0x20...0x7e).contains($0) && $0 != UInt8(ascii: "\\") }) else {
      throw malformed("\(what) may hold printable ASCII without backslashes only")
    }
    cursor = end + 1
    return content.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
  }

  /// Reads `()`, `(3,)`, `(3, 4)` or `(3, 4,)`; `(3)` is a number to Python and no tuple.
  private mutating func readTuple() throws(TensorFormatError) -> [Int] {
    try take("(")
    var numbers: [Int] = []
    var endsWithComma = true
    while peek() != UInt8(ascii: ")") {
      guard endsWithComma else { throw malformed("expected ',' or ')'") }
      numbers.append(try readNumber())
      endsWithComma = peek() == UInt8(ascii: ",")
      if endsWithComma { cursor += 1 }
    }
    guard numbers.count != 1 || endsWithComma else { throw malformed("expected ',' in a tuple of one") }
    try take(")")
    return numbers
  }

  private mutating func readNumber() throws(TensorFormatError) -> Int {
    _ = peek()
    let start = cursor
    var value: Int? = 0
    while cursor < text.endIndex, text[cursor] &- 0x30 <= 9 {
      value = value.flatMap { Self.appending(text[cursor] &- 0x30, to: $0) }
      cursor += 1
    }
    guard cursor > start else { throw malformed("expected a whole number from 0 on") }
    guard cursor == start + 1 || text[start] != UInt8(ascii: "0"), let value else {
      cursor = start
      throw malformed("the number has a leading zero or is too large")
    }
    return value
  }

  private static func appending(_ digit: UInt8, to value: Int) -> Int? {
    let (shifted, tooLarge) = value.multipliedReportingOverflow(by: 10)
    let (sum, overflow) = shifted.addingReportingOverflow(Int(digit))
    return tooLarge || overflow ? nil : sum
  }

  /// The next byte that is not white space.
  private mutating func peek() -> UInt8? {
    while cursor < text.endIndex {
      let byte = text[cursor]
      guard byte == 0x20 || byte == 0x0a || byte == 0x09 || byte == 0x0d else { return byte }
      cursor += 1
    }
    return nil
  }

  private mutating func take(_ character: Unicode.Scalar) throws(TensorFormatError) {
    guard let next = peek(), UInt32(next) == character.value else {
      throw malformed("expected '\(character)'")
    }
    cursor += 1
  }

  private func malformed(_ message: String) -> TensorFormatError {
    TensorFormatError(.malformed, byteOffset: cursor - start, "npy header: " + message)
  }
}
