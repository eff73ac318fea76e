/// Reads boxes from bytes, left to right.
///
/// Every attempt stops at the first byte that does not fit, and no attempt passes a byte at which another
/// could begin, so each byte is looked at a bounded number of times.
struct RegionTextScanner {
  typealias Syntax = RegionText.FoundBox.Syntax

  let bytes: [UInt8]
  var position = 0
  var found: [RegionText.FoundBox] = []
  /// What the next list means: set by tags and by the names of members.
  private var context = Syntax.list
  private var locations = LocationRun()
  private var members = MemberRun()
  /// How many bytes were passed more than once; all others are passed once.
  private(set) var rereadCount = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// At most `limit` boxes.
  mutating func boxes(limit: Int) -> [RegionText.FoundBox] {
    while position < bytes.count, found.count < limit {
      let byte = bytes[position]
      if byte != UInt8(ascii: "<"), !isSpace(byte) { endLocations() }
      switch byte {
      case UInt8(ascii: "<"): readTag()
      case UInt8(ascii: "["): readList()
      case UInt8(ascii: "("): readTuple()
      case UInt8(ascii: "b") where skip("bbox_2d"): context = .bbox2D
      case UInt8(ascii: "b") where skip("box_2d"): context = .box2D
      case UInt8(ascii: "\""), UInt8(ascii: "'"): readMember()
      case _ where isDigit(byte) && !followsWord && readBareNumbers(): break
      default:
        if byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}") { endMembers() }
        // Between the name of a member and its list, or two of its lists, stand only quotes, colons, commas, brackets.
        if isLetter(byte) || byte == UInt8(ascii: "}"), context == .bbox2D || context == .box2D {
          context = .list
        }
        position += 1
      }
    }
    endLocations()
    endMembers()
    return found
  }

  /// Forgets the boxes of a run with tokens left over: three points of an outline are six tokens, and no box.
  private mutating func endLocations() {
    if locations.isIncomplete { found.removeLast(locations.boxCount) }
    locations = LocationRun()
  }

  private mutating func endMembers() {
    if let point = members.point { appendPoint(point.x, point.y) }
    members = MemberRun()
  }

  private mutating func readTag() {
    if skip("<loc_") { return readLocation(.florence2, digits: 1...3) }
    if skip("<loc") { return readLocation(.paligemma, digits: 4...4) }
    if skip("<patch_index_") { return readLocation(.shares, digits: 4...4) }
    endLocations()
    if skip("<|box_start|>") {
      context = .boxTokens
    } else if skip("<box>") {
      context = .boxTag
    } else if skip("<|begin_of_box|>") {
      context = .glm
    } else if skip("<|det|>") {
      context = .deepSeek
    } else if skip("<|box_end|>") || skip("</box>") || skip("<|end_of_box|>") || skip("<|/det|>") {
      context = .list
    } else if skip("<points") || skip("<point") {
      readPoints()
    } else {
      position += 1
    }
  }

  /// The rest of `<loc0123>`, `<loc_123>` or `<patch_index_0123>`; the last of a run makes a box.
  private mutating func readLocation(_ syntax: Syntax, digits: ClosedRange<Int>) {
    var value = 0
    var count = 0
    while count < 4, let byte = peek(), isDigit(byte) {
      value = value * 10 + Int(byte - UInt8(ascii: "0"))
      count += 1
      position += 1
    }
    guard digits.contains(count), peek() == UInt8(ascii: ">") else {
      endLocations()
      return
    }
    position += 1
    if let last = locations.syntax, last != syntax { endLocations() }
    guard let numbers = locations.append(Double(value), syntax) else { return }
    if syntax != .shares {
      found.append(RegionText.FoundBox(syntax: syntax, numbers: numbers, hasFraction: false))
    } else if let box = Self.patchBox(Int(numbers[0]), Int(numbers[1])) {
      appendShares(box)
    } else {
      return
    }
    locations.boxCount += 1
  }

  /// Attributes `x`, `y` or `x1`, `y1`, `x2`, ... of Molmo's points, in per cent of the image.
  private mutating func readPoints() {
    var x: Double?
    while let byte = peek(), byte != UInt8(ascii: ">"), byte != UInt8(ascii: "<") {
      let isX = byte == UInt8(ascii: "x")
      let startsName = position > 0 && isSpace(bytes[position - 1])
      position += 1
      guard startsName, isX || byte == UInt8(ascii: "y") else { continue }
      while let digit = peek(), isDigit(digit) { position += 1 }
      guard skip("=\"") || skip("='"), let number = readNumber() else { continue }
      if isX {
        x = number.value
      } else if let across = x {
        appendPoint(across / 100, number.value / 100)
        x = nil
      }
    }
  }

  /// `"x_min": 0.1` and its like; the name in quotes, then a number.
  private mutating func readMember() {
    let quote = bytes[position]
    position += 1
    let start = position
    var named: MemberRun.Name?
    for (text, name) in MemberRun.names where named == nil {
      if skip(text), peek() == quote { named = name } else { position = start }
    }
    guard let name = named else { return }
    position += 1
    skipSpaces()
    guard skip(":") else { return }
    skipSpaces()
    guard let number = readNumber() else { return }
    // A second point without a brace between them.
    if members.has(name), name == .x || name == .y { endMembers() }
    if let numbers = members.set(name, number.value) { appendShares(numbers) }
  }

  /// `[x0, y0, x1, y1]`, or several with `;` between them; where it is not one, only its bracket is passed, for another
  /// may follow inside.
  private mutating func readList() {
    let isNested = position > 0 && bytes[position - 1] == UInt8(ascii: "[")
    position += 1
    let start = position
    var boxes: [[Number]] = []
    repeat {
      guard let numbers = readFour() else {
        rereadCount += position - start
        position = start
        return
      }
      boxes.append(numbers)
    } while skip(";")
    guard skip("]") else {
      rereadCount += position - start
      position = start
      return
    }
    let hasSpaces = bytes[start..<position].contains(where: isSpace)
    for numbers in boxes { append(numbers, from: start, isNested: isNested, hasSpaces: hasSpaces) }
  }

  /// Four numbers with commas between them, up to what follows.
  private mutating func readFour() -> [Number]? {
    var numbers: [Number] = []
    while true {
      skipSpaces()
      guard let number = readNumber() else { return nil }
      numbers.append(number)
      skipSpaces()
      if numbers.count == 4 { return numbers }
      guard skip(",") else { return nil }
    }
  }

  /// `(x0, y0, x1, y1)`, or `(x0, y0), (x1, y1)`; the comma between may be missing.
  private mutating func readTuple() {
    let start = position
    position += 1
    if let numbers = readFour(), skip(")") {
      append(
        numbers, from: start, isNested: false, hasSpaces: bytes[start..<position].contains(where: isSpace))
      return
    }
    rereadCount += position - start
    position = start
    guard let first = readPoint() else { return }
    // A run of points is read in pairs; a lone point is passed.
    skipSpaces()
    if skip(",") { skipSpaces() }
    guard peek() == UInt8(ascii: "("), let second = readPoint() else { return }
    append(
      first + second, from: start, isNested: false,
      hasSpaces: bytes[start..<position].contains(where: isSpace))
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

  /// `100 200 300 400` inside `<box>`, or `476_496_698_728` anywhere.
  ///
  /// - Returns: false, with nothing read, where neither stands.
  private mutating func readBareNumbers() -> Bool {
    let start = position
    var numbers: [Number] = []
    while numbers.count < 4, let number = readNumber() {
      numbers.append(number)
      guard numbers.count < 4 else { break }
      if context == .boxTag {
        guard let byte = peek(), isSpace(byte) else { break }
        skipSpaces()
      } else {
        guard skip("_") else { break }
      }
    }
    let next = context == .boxTag ? bytes[position...].first { !isSpace($0) } : peek()
    let isWhole = next.map { !isLetter($0) && !Array("_.,]".utf8).contains($0) } ?? true
    let areThousandths = numbers.allSatisfy { !$0.hasFraction && (1...4).contains($0.digitCount) }
    guard numbers.count == 4, isWhole, context == .boxTag || areThousandths else {
      rereadCount += position - start
      position = start
      return false
    }
    found.append(
      RegionText.FoundBox(
        syntax: context == .boxTag ? .spacedBoxTag : .underscores, numbers: numbers.map(\.value),
        hasFraction: numbers.contains(where: \.hasFraction)))
    return true
  }

  private mutating func append(_ numbers: [Number], from start: Int, isNested: Bool, hasSpaces: Bool) {
    let areDigits = numbers.allSatisfy { $0.digitCount == 3 && !$0.hasFraction && $0.value >= 0 }
    let hasThreeDecimals = numbers.allSatisfy { $0.decimalCount == 3 }
    let isCogVLM = context == .list && isNested && !hasSpaces && areDigits
    found.append(
      RegionText.FoundBox(
        syntax: isCogVLM ? .cogVLM : context, numbers: numbers.map(\.value),
        hasFraction: numbers.contains(where: \.hasFraction),
        isCompact: !hasSpaces && numbers.contains(where: \.hasFraction) && (isNested || hasThreeDecimals),
        followsPlaceWord: Prose.placeWords.contains(word(before: start))))
  }

  /// The word in front of a list, in lower case; quotes, brackets, colons and a few spaces may stand between.
  private func word(before start: Int) -> String {
    let between = Array(" \n\t\"'`:=([".utf8)
    var end = start
    while end > 0, start - end < 8, between.contains(bytes[end - 1]) { end -= 1 }
    var first = end
    while first > 0, end - first < 12, isLetter(bytes[first - 1]) { first -= 1 }
    return String(decoding: bytes[first..<end], as: UTF8.self).lowercased()
  }

  private mutating func appendShares(_ numbers: [Double]) {
    found.append(RegionText.FoundBox(syntax: .shares, numbers: numbers, hasFraction: true))
  }

  /// The box around a point, moved inside the image; a point far outside stays where it is, and is rejected as a box.
  private mutating func appendPoint(_ x: Double, _ y: Double) {
    let half = RegionText.pointSide / 2
    func centre(_ value: Double) -> Double {
      (0...1).contains(value) ? min(max(value, half), 1 - half) : value
    }
    let (across, down) = (centre(x), centre(y))
    appendShares([across - half, down - half, across + half, down + half])
  }

  /// The box of Kosmos-2's two cells, as its processor has it: between the cells' centres, or the cells themselves where
  /// they share a row or a column.
  private static func patchBox(_ first: Int, _ last: Int) -> [Double]? {
    let side = 32
    guard first < side * side, last < side * side else { return nil }
    let (y0, x0) = first.quotientAndRemainder(dividingBy: side)
    let (y1, x1) = last.quotientAndRemainder(dividingBy: side)
    let isThin = x0 == x1 || y0 == y1
    let (from, to) = isThin ? (0.0, 1.0) : (0.5, 0.5)
    return [Double(x0) + from, Double(y0) + from, Double(x1) + to, Double(y1) + to].map { $0 / Double(side) }
  }
}

/// Consecutive location tokens of one kind; every four are a box, or two of Kosmos-2's.
private struct LocationRun {
  private(set) var syntax: RegionText.FoundBox.Syntax?
  private var values: [Double] = []
  /// How many boxes the run has given.
  var boxCount = 0

  var isIncomplete: Bool { !values.isEmpty }

  mutating func append(_ value: Double, _ syntax: RegionText.FoundBox.Syntax) -> [Double]? {
    self.syntax = syntax
    values.append(value)
    guard values.count == (syntax == .shares ? 2 : 4) else { return nil }
    defer { values = [] }
    return values
  }
}

/// Members of one JSON object that together are a box or a point.
private struct MemberRun {
  enum Name: Int { case xMin, yMin, xMax, yMax, x, y, extent }

  static let names: [(text: StaticString, name: Name)] = [
    ("x_min", .xMin), ("y_min", .yMin), ("x_max", .xMax), ("y_max", .yMax), ("x", .x), ("y", .y),
    ("width", .extent), ("height", .extent), ("w", .extent), ("h", .extent),
  ]

  private var values = [Double?](repeating: nil, count: 7)

  func has(_ name: Name) -> Bool { values[name.rawValue] != nil }

  /// `x` and `y` in shares of the image, as Moondream has them. Beside a width or a height they are a box of an unknown
  /// kind: from its corner, or from its centre.
  var point: (x: Double, y: Double)? {
    guard let x = values[Name.x.rawValue], let y = values[Name.y.rawValue], !has(.extent),
      (0...1).contains(x), (0...1).contains(y)
    else { return nil }
    return (x, y)
  }

  /// - Returns: the corners once all are there.
  mutating func set(_ name: Name, _ value: Double) -> [Double]? {
    values[name.rawValue] = value
    let corners = values[0..<4].compactMap { $0 }
    guard corners.count == 4 else { return nil }
    self = MemberRun()
    return corners
  }
}
