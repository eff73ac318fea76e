public import Kernels

extension KernelSet {
  /// All products of `count` rows with each other, [count, count], in float32, packing included.
  ///
  /// - Complexity: O(count^2 columns / 2), with a packed copy of the rows.
  public func gram(
    _ rows: Row, count: Int, columns: Int, into target: UnsafeMutablePointer<Float>
  ) {
    guard count > 0 else { return }
    let packed = packedCount(rows: count, columns: columns)
    let room = UnsafeMutableRawPointer.allocate(
      byteCount: packed * MemoryLayout<Float>.stride, alignment: Self.panelAlignment)
    defer { room.deallocate() }
    let panels = room.bindMemory(to: Float.self, capacity: packed)
    pack(rows, count, columns, 0..<panelCount(rows: count), panels)
    symmetricProducts(rows, count, columns, panels, 0..<count, target, count, false, true)
  }
}
