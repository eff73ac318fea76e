extension Array {
  /// As many elements as `fill` initializes of the room it is given.
  ///
  /// `Array(unsafeUninitializedCapacity:)` and `Array(repeating:count:)` ask the runtime for the array's type in every call,
  /// some eight hundred instructions that a request of fifty thousand pays a dozen times; this is specialised where it is used.
  @inlinable
  public init(room: Int, _ fill: (_ buffer: UnsafeMutableBufferPointer<Element>, _ count: inout Int) -> Void)
  {
    self.init()
    reserveCapacity(room)
    append(addingCapacity: room) { target in
      target.withUnsafeMutableBufferPointer { buffer, count in fill(buffer, &count) }
    }
  }
}
