import PruningNumerics

/// The fast similarities of a few rows to those that they were compared with one after the other, by slot: whoever
/// is chosen of them need not be compared again.
///
/// The first pick follows a row through all others; which one it will be is not known before, so the first few are
/// kept, and what the others meet is forgotten.
struct FollowedRows {
  private static let capacity = 32

  private let length: Int
  /// Of each row that is kept, all slots one after the other; minus infinity for what it has not met.
  private var similarities: [Float] = []
  /// Whose they are.
  private var slots: [Int] = []

  init(_ blocks: RowBlocks) { length = 4 * blocks.count }

  /// Notes the similarities of the row in a slot to a block of four.
  public mutating func put(_ four: SIMD4<Float>, of slot: Int, to block: Int) {
    guard let line = line(of: slot) else { return }
    similarities.withUnsafeMutableBytes {
      $0.storeBytes(of: four, toByteOffset: 4 * (line * length + 4 * block), as: SIMD4<Float>.self)
    }
  }

  /// The same of several rows, of which `present` are no padding.
  public mutating func put(_ tile: SimilarityTile, of slots: SIMD4<Int>, _ present: Int, to block: Int) {
    let rows = tile.transposed.columns
    put(rows.0, of: slots[0], to: block)
    if present > 1 { put(rows.1, of: slots[1], to: block) }
    if present > 2 { put(rows.2, of: slots[2], to: block) }
    if present > 3 { put(rows.3, of: slots[3], to: block) }
  }

  /// What was noted of a slot, for as many slots as there are in whole blocks; nil where it is not kept.
  public func similarities(of slot: Int) -> ArraySlice<Float>? {
    slots.firstIndex(of: slot).map { similarities[($0 * length)..<(($0 + 1) * length)] }
  }

  private mutating func line(of slot: Int) -> Int? {
    if let line = slots.firstIndex(of: slot) { return line }
    guard slots.count < Self.capacity else { return nil }
    if slots.isEmpty {
      slots.reserveCapacity(Self.capacity)
      // What is usual; noise follows more.
      similarities.reserveCapacity(4 * length)
    }
    slots.append(slot)
    similarities.append(contentsOf: repeatElement(-.infinity, count: length))
    return slots.count - 1
  }
}
