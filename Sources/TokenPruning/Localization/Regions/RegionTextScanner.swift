/// Reads boxes from bytes, left to right.
///
/// Every attempt stops at the first byte that does not fit, and no attempt passes a byte at which another
/// could begin, so each byte is looked at a bounded number of times.
struct RegionTextScanner {
  private let bytes: [UInt8]
  private var position = 0
  private var found: [RegionText.FoundBox] = []
  /// What the next list means: set by `<box>` and `bbox_2d`.
  private var context = RegionText.FoundBox.Syntax.list
  private var locations = LocationRun()
  /// How many bytes were passed more than once; all others are passed once.
  private(set) var rereadCount = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// At most `limit` boxes.
  mutating func boxes(limit: Int) -> [RegionText.FoundBox] {
    while position < bytes.count, found.count < limit {
      switch bytes[position] {
      case UInt8(ascii: "<"): readTag()
      case UInt8(ascii: "["): readList()
      case UInt8(ascii: "("): readPair(.list)
      case UInt8(ascii: "b") where skip("bbox_2d"): context = .bbox2D
      case let byte:
        if !isSpace(byte) { locations = LocationRun() }
        // Between `bbox_2d` and its list, or two of its lists, stand only quotes, colons, commas, brackets.
        if isLetter(byte) || byte == UInt8(ascii: "}"), context == .bbox2D { context = .list }
        position += 1
      }
    }
    return found
  }

  private mutating func readTag() {
    if skip("<|box_start|>") {
      skipSpaces()
      readPair(.boxTokens)
    } else if skip("<box>") {
      context = .internvl
    } else if skip("</box>") {
      context = .list
    } else if skip("<loc_") {
      readLocation(.florence2, digits: 1...3)
    } else if skip("<loc") {
      readLocation(.paligemma, digits: 4...4)
    } else {
      locations = LocationRun()
      position += 1
    }
  }

  /// The rest of `<loc0123>` or `<loc_123>`; the fourth in a row makes a box.
  private mutating func readLocation(_ syntax: RegionText.FoundBox.Syntax, digits: ClosedRange<Int>) {
    var value = 0
    var count = 0
    while count < 4, let byte = peek(), isDigit(byte) {
      value = value * 10 + Int(byte - UInt8(ascii: "0"))
      count += 1
      position += 1
    }
    guard digits.contains(count), peek() == UInt8(ascii: ">") else {
      locations = LocationRun()
      return
    }
    position += 1
    if let numbers = locations.append(Double(value), syntax) {
      found.append(RegionText.FoundBox(syntax: syntax, numbers: numbers, hasFraction: false))
    }
  }

  /// `[x0, y0, x1, y1]`; where it is not one, only its bracket is passed, for another may follow inside.
  private mutating func readList() {
    locations = LocationRun()
    position += 1
    let start = position
    var numbers: [Number] = []
    while numbers.count < 4 {
      skipSpaces()
      guard let number = readNumber() else { break }
      numbers.append(number)
      skipSpaces()
      guard skip(numbers.count < 4 ? "," : "]") else { break }
      if numbers.count == 4 {
        append(numbers, context)
        return
      }
    }
    rereadCount += position - start
    position = start
  }

  /// `(x0, y0), (x1, y1)`; the comma between may be missing.
  private mutating func readPair(_ syntax: RegionText.FoundBox.Syntax) {
    locations = LocationRun()
    guard let first = readPoint() else { return }
    // A run of points is read in pairs; a lone point is passed.
    skipSpaces()
    if skip(",") { skipSpaces() }
    guard peek() == UInt8(ascii: "("), let second = readPoint() else { return }
    append(first + second, syntax)
  }

  /// `(x, y)`. On failure at least the parenthesis has been passed, if there was one.
  private mutating func readPoint() -> [Number]? {
    guard skip("(") else { return nil }
    skipSpaces()
    guard let x = readNumber() else { return nil }
    skipSpaces()
    guard skip(",") else { return nil }
    skipSpaces()
    guard let y = readNumber() else { return nil }
    skipSpaces()
    return skip(")") ? [x, y] : nil
  }

  private mutating func append(_ numbers: [Number], _ syntax: RegionText.FoundBox.Syntax) {
    found.append(
      RegionText.FoundBox(
        syntax: syntax, numbers: numbers.map(\.value), hasFraction: numbers.contains(where: \.hasFraction)))
  }

  private struct Number {
    var value: Double
    var hasFraction: Bool
  }

  /// A sign, up to 9 digits, and a fraction of which 15 digits in all count.
  private mutating func readNumber() -> Number? {
    let isNegative = skip("-")
    var mantissa = 0
    var digits = 0
    while let byte = peek(), isDigit(byte) {
      guard digits < 9 else { return nil }
      mantissa = mantissa * 10 + Int(byte - UInt8(ascii: "0"))
      digits += 1
      position += 1
    }
    var divisor = 1.0
    let hasFraction = peek() == UInt8(ascii: ".")
    if hasFraction {
      position += 1
      while let byte = peek(), isDigit(byte) {
        if digits < 15 {
          mantissa = mantissa * 10 + Int(byte - UInt8(ascii: "0"))
          divisor *= 10
        }
        digits += 1
        position += 1
      }
    }
    guard digits > 0 else { return nil }
    let value = Double(mantissa) / divisor
    return Number(value: isNegative ? -value : value, hasFraction: hasFraction)
  }

  private func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skip(_ word: StaticString) -> Bool {
    let length = word.utf8CodeUnitCount
    guard bytes.count - position >= length else { return false }
    let matches = word.withUTF8Buffer { expected in
      for index in 0..<length where bytes[position + index] != expected[index] { return false }
      return true
    }
    if matches { position += length }
    return matches
  }

  private mutating func skipSpaces() {
    while let byte = peek(), isSpace(byte) { position += 1 }
  }
}

/// Consecutive location tokens of one kind; every four are a box.
private struct LocationRun {
  private var syntax: RegionText.FoundBox.Syntax?
  private var values: [Double] = []

  mutating func append(_ value: Double, _ syntax: RegionText.FoundBox.Syntax) -> [Double]? {
    if self.syntax != syntax { values = [] }
    self.syntax = syntax
    values.append(value)
    guard values.count == 4 else { return nil }
    defer { values = [] }
    return values
  }
}

private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

private func isLetter(_ byte: UInt8) -> Bool {
  (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
}

private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
