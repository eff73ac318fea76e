public import Kernels

extension Array {
  /// One value `count` times, as `Array(repeating:count:)`; see ``init(room:_:)``.
  @inlinable
  public init(uniform value: Element, count: Int) {
    self.init(room: count) { buffer, initialized in
      buffer.initialize(repeating: value)
      initialized = count
    }
  }
}
