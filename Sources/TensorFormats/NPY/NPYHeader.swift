import Tensors

/// The Python dictionary in front of an npy array, read by a parser that knows nothing but this dictionary.
struct NPYHeader {
  /// numpy refuses longer ones as well.
  static let maximumLength = 10_000

  private(set) var descriptor = ""
  private(set) var isFortranOrder = false
  private(set) var dimensions: [Int] = []

  private var rest: ArraySlice<UInt8>
  private let start: Int
  private let tensor: String

  init(_ text: ArraySlice<UInt8>, startingAt offset: Int, tensor: String) throws(TensorFormatError) {
    rest = text
    start = text.startIndex - offset
    self.tensor = tensor
    try readDictionary()
  }

  private mutating func readDictionary() throws(TensorFormatError) {
    try take("{")
    var missing: Set = ["descr", "fortran_order", "shape"]
    while peek() != UInt8(ascii: "}") {
      let key = try readString("a key")
      guard missing.remove(key) != nil else {
        throw malformed(
          ["descr", "fortran_order", "shape"].contains(key)
            ? "the key '\(key)' occurs twice" : "the key '\(key)' is not one of descr, fortran_order, shape")
      }
      try take(":")
      switch key {
      case "descr": descriptor = try readDescriptor()
      case "fortran_order": isFortranOrder = try readTruth()
      default: dimensions = try readTuple()
      }
      if peek() != UInt8(ascii: "}") { try take(",") }
    }
    try take("}")
    if let key = missing.min() { throw malformed("the key '\(key)' is missing") }
    guard peek() == nil else { throw malformed("expected the end of the header") }
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
    for (word, value) in [("True", true), ("False", false)] where rest.starts(with: word.utf8) {
      rest = rest.dropFirst(word.utf8.count)
      return value
    }
    throw malformed("expected True or False")
  }

  private mutating func readString(_ what: String) throws(TensorFormatError) -> String {
    guard let quote = peek(), quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      throw malformed("expected \(what) in quotes")
    }
    let content = rest.dropFirst().prefix { $0 != quote }
    guard content.endIndex < rest.endIndex else { throw malformed("a string without end") }
    guard content.allSatisfy({ (0x20...0x7e).contains($0) && $0 != UInt8(ascii: "\\") }) else {
      throw malformed("\(what) may hold printable ASCII without backslashes only")
    }
    rest = rest[(content.endIndex + 1)...]
    return String(decoding: content, as: UTF8.self)
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
      if endsWithComma { rest = rest.dropFirst() }
    }
    guard numbers.count != 1 || endsWithComma else { throw malformed("expected ',' in a tuple of one") }
    try take(")")
    return numbers
  }

  private mutating func readNumber() throws(TensorFormatError) -> Int {
    _ = peek()
    let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    guard !digits.isEmpty else { throw malformed("expected a whole number from 0 on") }
    guard digits.count == 1 || digits.first != UInt8(ascii: "0"),
      let number = Int(String(decoding: digits, as: UTF8.self))
    else { throw malformed("the number has a leading zero or is too large") }
    rest = rest[digits.endIndex...]
    return number
  }

  /// The next byte that is not white space.
  private mutating func peek() -> UInt8? {
    rest = rest.drop { $0 == 0x20 || $0 == 0x0a || $0 == 0x09 || $0 == 0x0d }
    return rest.first
  }

  private mutating func take(_ character: Character) throws(TensorFormatError) {
    guard let next = peek(), next == character.asciiValue else { throw malformed("expected '\(character)'") }
    rest = rest.dropFirst()
  }

  private func malformed(_ message: String) -> TensorFormatError {
    TensorFormatError(.malformed, byteOffset: rest.startIndex - start, "npy header: " + message)
  }
}
