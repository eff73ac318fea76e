/// For each slot of a list a number that only grows, and how far whoever raises it has come; with fast answers to
/// where the lowest are.
///
/// Places lie in segments of sixteen, each with its minimum at hand, so that finding the lowest looks at one number in
/// sixteen, and raising one looks at its segment at most. Both are a few vector operations for thousands of slots,
/// where a heap follows branches that no processor predicts.
///
/// A class, so that no raise has to ask whether it owns the memory; it is never copied.
final class BoundTable {
  public static let segment = 16

  public let count: Int
  /// Segments, and groups of sixteen of them.
  private let segments: Int
  private let groups: Int
  private let memory: UnsafeMutableRawPointer
  /// Padded to whole segments and groups with infinity.
  private let values: UnsafeMutablePointer<Float>
  private let minima: UnsafeMutablePointer<Float>
  /// Of each segment the first slot that holds its minimum; -1 until somebody asks.
  private let lowest: UnsafeMutablePointer<Int32>
  private let progress: UnsafeMutablePointer<Int32>
  /// Of every sixteenth segment the one with the lowest minimum, and that, as of the last look.
  private let lowSegments: UnsafeMutablePointer<Int32>
  private let lowMinima: UnsafeMutablePointer<Float>

  /// `count` slots at minus infinity, and nobody has come anywhere.
  init(count: Int) {
    self.count = count
    segments = (count + Self.segment - 1) / Self.segment
    groups = max(1, (segments + 15) / 16)
    let (slots, tops) = (Self.segment * segments, 16 * groups)
    // One piece of memory for all, of four bytes each.
    memory = .allocate(byteCount: 4 * (2 * slots + 2 * tops + 32), alignment: 64)
    values = memory.initializeMemory(as: Float.self, repeating: .infinity, count: slots)
    values.update(repeating: -.infinity, count: count)
    minima = (memory + 4 * slots).initializeMemory(as: Float.self, repeating: .infinity, count: tops)
    minima.update(repeating: -.infinity, count: segments)
    let rest = memory + 4 * (slots + tops)
    progress = rest.initializeMemory(as: Int32.self, repeating: 0, count: slots)
    lowest = (rest + 4 * slots).initializeMemory(as: Int32.self, repeating: -1, count: tops)
    let low = rest + 4 * (slots + tops)
    lowSegments = low.initializeMemory(as: Int32.self, repeating: 0, count: 16)
    lowMinima = (low + 64).initializeMemory(as: Float.self, repeating: .infinity, count: 16)
  }

  deinit { memory.deallocate() }

  subscript(slot: Int) -> Float {
    assert(slot >= 0 && slot < count)
    return values[slot]
  }

  public func progress(of slot: Int) -> Int {
    assert(slot >= 0 && slot < count)
    return Int(progress[slot])
  }

  func setProgress(of slot: Int, to steps: Int) {
    assert(slot >= 0 && slot < count)
    progress[slot] = Int32(truncatingIfNeeded: steps)
  }

  // MARK: Raising

  public func raise(_ slot: Int, to value: Float) {
    assert(slot >= 0 && slot < count)
    let before = values[slot]
    guard value > before else { return }
    values[slot] = value
    let segment = slot / Self.segment
    if before == minima[segment] { settle(segment) }
  }

  /// Takes a slot out of consideration for good.
  public func close(_ slot: Int) { raise(slot, to: .infinity) }

  /// Raises four slots, the first of which is a multiple of four; what lies behind the last place may be among them.
  public func raise(fourFrom slot: Int, to four: SIMD4<Float>) {
    assert(slot >= 0 && slot < count && slot.isMultiple(of: 4))
    let address = UnsafeMutableRawPointer(values + slot)
    let before = address.loadUnaligned(as: SIMD4<Float>.self)
    address.storeBytes(of: before.replacing(with: four, where: four .> before), as: SIMD4<Float>.self)
    let segment = slot / Self.segment
    if Self.lowest(of: before) == minima[segment] { settle(segment) }
  }

  /// Raises sixteen slots, the first of which is a multiple of sixteen; what lies behind the last may be among them.
  public func raise(sixteenFrom slot: Int, to sixteen: SIMD16<Float>) {
    assert(slot >= 0 && slot < count && slot.isMultiple(of: Self.segment))
    let address = UnsafeMutableRawPointer(values + slot)
    let before = address.loadUnaligned(as: SIMD16<Float>.self)
    address.storeBytes(of: before.replacing(with: sixteen, where: sixteen .> before), as: SIMD16<Float>.self)
    settle(slot / Self.segment)
  }

  /// Raises all slots at once.
  ///
  /// - Precondition: one number for each slot; more are passed over.
  func raiseAll(to numbers: ArraySlice<Float>) {
    precondition(numbers.count >= count)
    update { values in
      for (slot, number) in numbers.prefix(count).enumerated() { values[slot] = max(values[slot], number) }
    }
  }

  /// Changes many values at once.
  ///
  /// - Parameter body: leaves at infinity what is there, and lowers nothing.
  public func update(_ body: (UnsafeMutablePointer<Float>) -> Void) {
    body(values)
    for segment in 0..<segments { settle(segment) }
  }

  private func settle(_ segment: Int) {
    let sixteen = Self.sixteen(values, segment)
    let eight = sixteen.lowHalf.replacing(
      with: sixteen.highHalf, where: sixteen.highHalf .< sixteen.lowHalf)
    minima[segment] = Self.lowest(
      of: eight.lowHalf.replacing(with: eight.highHalf, where: eight.highHalf .< eight.lowHalf))
    lowest[segment] = -1
  }

  @inline(__always)
  private static func sixteen(_ numbers: UnsafeMutablePointer<Float>, _ index: Int) -> SIMD16<Float> {
    UnsafeRawPointer(numbers + 16 * index).loadUnaligned(as: SIMD16<Float>.self)
  }

  @inline(__always)
  private static func lowest(of four: SIMD4<Float>) -> Float {
    let two = four.lowHalf.replacing(with: four.highHalf, where: four.highHalf .< four.lowHalf)
    return two[1] < two[0] ? two[1] : two[0]
  }

  // MARK: Finding the lowest

  /// The lowest slot; nil when all are closed.
  func lowestSlot() -> Int? {
    var minima = Self.sixteen(self.minima, 0)
    var segments = SIMD16<Int32>(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    var current = segments
    for group in 1..<groups {
      current &+= 16
      let next = Self.sixteen(self.minima, group)
      let isLower = next .< minima
      minima.replace(with: next, where: isLower)
      segments.replace(with: current, where: isLower)
    }
    UnsafeMutableRawPointer(lowMinima).storeBytes(of: minima, as: SIMD16<Float>.self)
    UnsafeMutableRawPointer(lowSegments).storeBytes(of: segments, as: SIMD16<Int32>.self)
    return lowestSlot(of: minima, segments)
  }

  /// Halves against halves.
  @inline(__always)
  private func lowestSlot(of minima: SIMD16<Float>, _ segments: SIMD16<Int32>) -> Int? {
    let upper = minima.highHalf .< minima.lowHalf
    let eight = minima.lowHalf.replacing(with: minima.highHalf, where: upper)
    let ofEight = segments.lowHalf.replacing(with: segments.highHalf, where: upper)
    let third = eight.highHalf .< eight.lowHalf
    let four = eight.lowHalf.replacing(with: eight.highHalf, where: third)
    let ofFour = ofEight.lowHalf.replacing(with: ofEight.highHalf, where: third)
    let (a, b) = (four[1] < four[0] ? 1 : 0, four[3] < four[2] ? 3 : 2)
    let best = four[b] < four[a] ? b : a
    return four[best] < .infinity ? lowestSlot(in: Int(ofFour[best])) : nil
  }

  /// A place and up to three low ones of other segments that have come as far: not the lowest there are, because
  /// every sixteenth segment competes for one lane, but found at once.
  ///
  /// - Precondition: nothing was raised since the last ``lowestPlace()``.
  /// - Parameter excluded: a segment that does not count.
  func mates(of slot: Int, but excluded: Int = -1) -> (slots: SIMD4<Int>, count: Int) {
    let own = slot / Self.segment
    let steps = progress[slot]
    var slots = SIMD4(repeating: slot)
    var count = 1
    for lane in 0..<16 where lowMinima[lane] < .infinity {
      let segment = Int(lowSegments[lane])
      if segment == own || segment == excluded { continue }
      let mate = lowestSlot(in: segment)
      guard progress[mate] == steps else { continue }
      slots[count] = mate
      count += 1
      if count == 4 { break }
    }
    return (slots, count)
  }

  @inline(__always)
  private func lowestSlot(in segment: Int) -> Int {
    let known = lowest[segment]
    return known >= 0 ? Int(known) : findLowest(in: segment)
  }

  @inline(never)
  private func findLowest(in segment: Int) -> Int {
    var slot = Self.segment * segment
    while values[slot] != minima[segment] { slot += 1 }
    lowest[segment] = Int32(truncatingIfNeeded: slot)
    return slot
  }

  /// The open slots at or below `limit`, ascending.
  public func slots(upTo limit: Float) -> [Int] {
    var slots: [Int] = []
    for segment in 0..<segments where minima[segment] <= limit && minima[segment] < .infinity {
      for slot in (Self.segment * segment)..<(Self.segment * (segment + 1))
      where values[slot] <= limit && values[slot] < .infinity {
        slots.append(slot)
      }
    }
    return slots
  }
}
