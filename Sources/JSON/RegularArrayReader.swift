/// The single pass behind ``JSONScanner/readRegularNumbers(as:maximumRank:allowsRagged:)``.
///
/// Any doubt ends it with nil; it never decides that a text is wrong.
struct RegularArrayReader<Element: NumberElement> {
  private let text: UnsafeBufferPointer<UInt8>
  private let allowsRagged: Bool
  /// The next unread byte.
  private(set) var position = 0
  /// How many arrays are open around the innermost ones, which hold numbers.
  private let leafDepth: Int
  /// Elements so far of the open array at each depth.
  private var counts = InlineArray<8, Int>(repeating: 0)
  /// The length of the first array that was closed at each depth; 0 while there is none.
  private var extents = InlineArray<8, Int>(repeating: 0)
  private var innerLengths: [Int]?
  private var innerCount = 0

  private enum Pause { case full, closed, doubtful }

  /// Reads the opening brackets, which say how deep numbers lie.
  init?(_ text: UnsafeBufferPointer<UInt8>, _ maximumRank: Int, _ allowsRagged: Bool) {
    precondition((1...8).contains(maximumRank), "counts are kept for eight axes")
    var position = 0
    var opened = 0
    Self.skipSpace(text, &position)
    while position < text.count, text[position] == UInt8(ascii: "[") {
      opened += 1
      position += 1
      guard opened <= maximumRank else { return nil }
      Self.skipSpace(text, &position)
    }
    guard opened > 0 else { return nil }
    self.text = text
    self.allowsRagged = allowsRagged
    self.position = position
    leafDepth = opened - 1
  }

  /// Reads up to the bracket that closes the whole.
  mutating func read() -> NestedArray? {
    let start = position
    var bytes: [UInt8] = []
    var isFirst = true
    while true {
      // A guess from a few numbers, so that most arrays are allocated once more and then no more.
      let room = isFirst ? 256 : expectedRest(bytes.count / Self.width, from: start)
      isFirst = false
      var pause = Pause.full
      bytes.append(addingCapacity: room * Self.width) { target in
        target.withUnsafeMutableBufferPointer { buffer, byteCount in
          guard let base = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
          var count = 0
          pause = readElements(into: base, room, &count)
          byteCount = count &* Self.width
        }
      }
      switch pause {
      case .full: continue
      case .doubtful: return nil
      case .closed: return array(bytes)
      }
    }
  }

  /// The most arrays of different lengths: each becomes a value of its own. The careful reader says so.
  private static var maximumRaggedCount: Int { 4096 }

  private static var width: Int { MemoryLayout<Element>.size }

  /// How many more elements the text may hold, judged by the `count` there were so far; at least a few.
  ///
  /// Never more than sixteen times those there were: the text behind a small array may belong to others, and
  /// each would take memory for all of it.
  private func expectedRest(_ count: Int, from start: Int) -> Int {
    let unread = text.count &- position
    // An element takes two bytes at least: a digit and a comma or bracket.
    let most = min(unread / 2 + 1, 16 * count)
    let (product, overflow) = count.multipliedReportingOverflow(by: unread)
    guard !overflow else { return most }
    return max(1, min(most, product / max(position &- start, 1) + count / 8 + 64))
  }

  private func array(_ bytes: [UInt8]) -> NestedArray {
    // What the text holds behind this array was taken for more of its elements.
    let fits = bytes.capacity <= bytes.count + bytes.count / 2 + 64
    return NestedArray(
      bytes: fits ? bytes : bytes.withUnsafeBufferPointer { Array($0) },
      elementCount: bytes.count / Self.width,
      dimensions: (0...leafDepth).map { extents[$0] }, innerLengths: innerLengths)
  }

  /// Reads elements until there is no room for another, or the outermost array is closed.
  ///
  /// - Parameter count: how many it has written.
  private mutating func readElements(
    into target: UnsafeMutableRawPointer, _ room: Int, _ count: inout Int
  ) -> Pause {
    var written = 0
    defer { count = written }
    while true {
      let before = written
      let pause = readLeaf(into: target, room, &written)
      counts[leafDepth] += written &- before
      guard pause == .closed else { return pause }
      var depth = leafDepth
      // Close what ends here, then open what follows the comma.
      while true {
        guard record(depth) else { return .doubtful }
        guard depth > 0 else { return .closed }
        depth -= 1
        counts[depth] += 1
        Self.skipSpace(text, &position)
        guard position < text.count else { return .doubtful }
        let byte = text[position]
        position += 1
        if byte == UInt8(ascii: ",") { break }
        guard byte == UInt8(ascii: "]") else { return .doubtful }
      }
      while depth < leafDepth {
        Self.skipSpace(text, &position)
        guard position < text.count, text[position] == UInt8(ascii: "[") else { return .doubtful }
        position += 1
        depth += 1
      }
      Self.skipSpace(text, &position)
    }
  }

  /// Compares a closed array's length with the first one's of its depth.
  private mutating func record(_ depth: Int) -> Bool {
    let count = counts[depth]
    counts[depth] = 0
    if extents[depth] == 0 { extents[depth] = count }
    if depth == 1 {
      if count != extents[1], innerLengths == nil {
        guard innerCount < Self.maximumRaggedCount else { return false }
        innerLengths = Array(repeating: extents[1], count: innerCount)
      }
      innerLengths?.append(count)
      innerCount += 1
      if innerLengths != nil, innerCount > Self.maximumRaggedCount { return false }
    }
    return count == extents[depth] || (depth == 1 && allowsRagged)
  }

  /// Reads numbers, each in front of `position`, up to and including the innermost array's bracket.
  ///
  /// - Parameter written: how many elements the target holds; the call adds those it has read.
  private mutating func readLeaf(
    into target: UnsafeMutableRawPointer, _ room: Int, _ written: inout Int
  ) -> Pause {
    guard let start = UnsafeRawPointer(text.baseAddress) else { return .doubtful }
    var place = position
    defer { position = place }
    while written < room {
      var next = start + place
      written &+= Element.quickRun(
        &next, start + text.count, into: target + written &* Self.width, room &- written)
      place = next - start
      guard written < room else { break }
      Self.skipSpace(text, &place)
      guard let value = Self.careful(text, &place) else { return .doubtful }
      target.storeBytes(of: value, toByteOffset: written &* Self.width, as: Element.self)
      written &+= 1
      Self.skipSpace(text, &place)
      guard place < text.count else { return .doubtful }
      let byte = text[place]
      place &+= 1
      guard byte == UInt8(ascii: ",") else { return byte == UInt8(ascii: "]") ? .closed : .doubtful }
    }
    return .full
  }

  @inline(never)
  private static func careful(_ text: UnsafeBufferPointer<UInt8>, _ position: inout Int) -> Element? {
    let start = position
    guard let number = try? DecimalNumber.read(text, &position),
      position &- start <= JSONScanner.maximumNumberLength
    else { return nil }
    return Element.careful(number, UnsafeBufferPointer(rebasing: text[start..<position]))
  }

  @inline(__always)
  private static func skipSpace(_ text: UnsafeBufferPointer<UInt8>, _ position: inout Int) {
    while position < text.count, text[position] <= 0x20 {
      let byte = text[position]
      guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return }
      position &+= 1
    }
  }
}
