import JSON
import Tensors

/// Reads nested arrays of numbers straight into one flat array, and their extents.
///
/// Rank 1 and deeper; every array of one depth has the same length, except that those of depth 1 may differ
/// (``raggedLengths``): then the value is a list of tensors.
struct NestedNumbers {
  let elementType: ElementType
  /// Whether arrays of depth 1 may differ in length.
  let allowsRagged: Bool
  private let isInterrupted: Interruption?
  /// The numbers, each little-endian.
  private(set) var bytes: [UInt8] = []
  /// The extent of each axis as the first array of that depth showed it.
  private var extents: [Int?] = []
  /// The depth at which arrays hold numbers; nil until a number was seen.
  private var leafDepth: Int?
  /// The lengths of the arrays at depth 1, in order.
  private var innerLengths: [Int] = []
  /// How many there are; kept one by one only once they differ.
  private var innerCount = 0
  private var isRagged = false

  /// The extents of the whole, `[N, M, ...]`; those of a ragged value have the first one's length at axis 1.
  var dimensions: [Int] { extents.map { $0 ?? 0 } }

  /// The length of each item along its own first axis, or nil when all agree.
  var raggedLengths: [Int]? { isRagged ? innerLengths : nil }

  init(
    as elementType: ElementType = .float32, allowsRagged: Bool = false, isInterrupted: Interruption? = nil
  ) {
    self.elementType = elementType
    self.allowsRagged = allowsRagged
    self.isInterrupted = isInterrupted
  }

  /// So many elements take about a tenth of a millisecond.
  private static let pollInterval = 1 << 10

  /// Reads one array, whose bracket is the scanner's next byte.
  ///
  /// - Throws: with a pointer relative to the array.
  mutating func read(_ scanner: inout JSONScanner) throws(JSONError) {
    try read(&scanner, depth: 0)
  }

  private mutating func read(_ scanner: inout JSONScanner, depth: Int) throws(JSONError) {
    let start = scanner.offset
    guard depth < Shape.maximumRank else {
      throw JSONError(
        .content, offset: start, "an array nested deeper than the \(Shape.maximumRank) axes of a tensor")
    }
    if let leafDepth, depth > leafDepth { throw scanner.mismatch("a number") }
    try scanner.openArray()
    if depth == extents.count { extents.append(nil) }
    let count: Int
    if scanner.peek() == UInt8(ascii: "[") {
      guard leafDepth != depth else { throw scanner.mismatch("a number").inside(0) }
      count = try readArrays(&scanner, depth: depth)
    } else {
      count = try readLeaf(&scanner, depth: depth)
    }
    try record(count, depth: depth, offset: start)
  }

  private mutating func readArrays(
    _ scanner: inout JSONScanner, depth: Int
  ) throws(JSONError) -> Int {
    var index = 0
    while try scanner.nextElement(&index) {
      if index % Self.pollInterval == 0 { try scanner.check(isInterrupted) }
      do throws(JSONError) {
        try read(&scanner, depth: depth + 1)
      } catch {
        throw error.inside(index - 1)
      }
    }
    return index
  }

  private mutating func readLeaf(_ scanner: inout JSONScanner, depth: Int) throws(JSONError) -> Int {
    if scanner.peek() != UInt8(ascii: "]") {
      // Arrays were seen at the next depth, so this one must hold arrays as well.
      if depth + 1 < extents.count || (leafDepth ?? depth) > depth {
        throw scanner.mismatch("an array").inside(0)
      }
      leafDepth = depth
    }
    var index = 0
    while try scanner.nextPlace(&index) {
      if index % Self.pollInterval == 0 { try scanner.check(isInterrupted) }
      do throws(JSONError) {
        try NumberNarrowing.append(&scanner, elementType, to: &bytes)
      } catch {
        throw error.inside(index - 1)
      }
    }
    return index
  }

  private mutating func record(_ count: Int, depth: Int, offset: Int) throws(JSONError) {
    if depth == 1 {
      innerCount += 1
      if isRagged { return try recordRagged(count, offset: offset) }
    }
    guard let expected = extents[depth] else {
      extents[depth] = count
      return
    }
    guard count != expected else { return }
    guard depth == 1, allowsRagged else {
      throw JSONError(
        .content, offset: offset,
        "expected \(expected) elements as in the arrays before it, found \(count)")
    }
    isRagged = true
    if innerCount <= TensorBundle.maximumListCount {
      innerLengths = Array(repeating: expected, count: innerCount - 1)
    }
    try recordRagged(count, offset: offset)
  }

  private mutating func recordRagged(_ count: Int, offset: Int) throws(JSONError) {
    guard innerCount <= TensorBundle.maximumListCount else {
      throw JSONError(
        .content, offset: offset,
        "arrays of different lengths are a list of tensors, of which at most \(TensorBundle.maximumListCount) are "
          + "accepted")
    }
    innerLengths.append(count)
  }
}
