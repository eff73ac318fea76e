/// Bytes in order: appended at the back, consumed from the front, in one array that can be lent and taken back.
public struct ByteQueue {
  private var storage: [UInt8] = []
  private var start = 0

  public init() {}

  public var count: Int { storage.count - start }
  public var isEmpty: Bool { storage.count == start }
  /// Bytes for which memory is held.
  public var capacity: Int { storage.capacity }

  public mutating func append(_ bytes: UnsafeRawBufferPointer) { storage.append(contentsOf: bytes) }

  public mutating func append(contentsOf bytes: some Sequence<UInt8>) { storage.append(contentsOf: bytes) }

  /// Lets `body` append to the array itself, which has room for `room` more bytes.
  public mutating func appending<Result>(room: Int, _ body: (inout [UInt8]) -> Result) -> Result {
    if storage.capacity - storage.count < room { storage.reserveCapacity(storage.count + room) }
    return body(&storage)
  }

  /// The bytes, sharing their memory: to be dropped before the queue changes, or the change copies.
  public var slice: ArraySlice<UInt8> { storage[start...] }

  public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    storage.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[start...])) }
  }

  /// - Precondition: there are `count` bytes.
  public mutating func consume(_ count: Int) {
    precondition(count <= self.count, "nobody consumes more than there is")
    start += count
    guard isEmpty else { return }
    storage.removeAll(keepingCapacity: true)
    start = 0
  }

  /// Uses the memory of `storage`, an emptied array, from here on; does nothing while there are bytes.
  public mutating func lend(_ storage: consuming [UInt8]) {
    guard isEmpty else { return }
    self.storage = storage
    start = 0
  }

  /// Gives up the memory of an empty queue.
  ///
  /// - Returns: nil while there are bytes, or when no memory is held.
  public mutating func takeStorage() -> [UInt8]? {
    guard isEmpty, storage.capacity > 0 else { return nil }
    defer { storage = [] }
    return storage
  }

  /// Forgets everything.
  public mutating func removeAll() {
    storage = []
    start = 0
  }
}
