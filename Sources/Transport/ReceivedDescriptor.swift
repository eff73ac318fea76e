import CLinux
import HTTP1
import Synchronization

/// How many descriptors of clients the server may hold beside its connections.
final class DescriptorBudget: Sendable {
  private let count = Atomic(0)
  private let maximum: Int
  let closing = SlowClosing()

  /// - Parameter maximum: 0 where none are wanted; those that come are closed.
  init(maximum: Int) { self.maximum = maximum }

  var heldCount: Int { count.load(ordering: .relaxed) }

  fileprivate func take() -> Bool {
    guard count.add(1, ordering: .relaxed).oldValue < maximum else {
      count.subtract(1, ordering: .relaxed)
      return false
    }
    return true
  }

  fileprivate func give() { count.subtract(1, ordering: .relaxed) }
}

/// A descriptor of memory that a client sent over a Unix socket; closed with the last reference, which nothing that the client
/// does can make wait.
final class ReceivedDescriptor: Sendable {
  private let descriptor: FileDescriptor
  private let budget: DescriptorBudget

  var rawValue: Int32 { descriptor.rawValue }

  /// - Returns: nil when the server holds as many as it may; the descriptor is closed then, too.
  init?(owning rawValue: Int32, _ budget: DescriptorBudget) {
    let descriptor = FileDescriptor(owning: rawValue)
    guard budget.take() else { return nil }
    self.descriptor = descriptor
    self.budget = budget
  }

  deinit { budget.give() }
}

/// Descriptors that came with bytes of a connection and belong to requests that are not read yet, in order.
struct DescriptorQueue: Sendable {
  /// Of a connection: what waits is that of the next request, and one that was sent ahead.
  private static let maximumCount = 2

  /// nil stands for one that was not of memory.
  private var waiting: [ReceivedDescriptor?] = []
  /// One was dropped for want of room.
  private var hasLost = false

  var isEmpty: Bool { waiting.isEmpty && !hasLost }

  /// - Parameter descriptors: owned from here on.
  mutating func append(_ descriptors: some Sequence<Int32>, _ budget: DescriptorBudget) {
    for rawValue in descriptors {
      guard crop_is_memory(rawValue) != 0 else {
        budget.closing.close(rawValue)
        if waiting.count < Self.maximumCount { waiting.append(nil) }
        continue
      }
      guard let descriptor = ReceivedDescriptor(owning: rawValue, budget) else {
        hasLost = true
        continue
      }
      if waiting.count < Self.maximumCount { waiting.append(descriptor) }
    }
  }

  /// The system had no room for one.
  mutating func lose() { hasLost = true }

  /// The next one; nil when none came.
  ///
  /// - Throws: when one came and could not be held, or was not of memory.
  mutating func takeFirst() throws(SharedMemoryError) -> ReceivedDescriptor? {
    if !waiting.isEmpty {
      guard let first = waiting.removeFirst() else { throw .notMemory }
      return first
    }
    guard !hasLost else {
      hasLost = false
      throw .noRoomForDescriptor
    }
    return nil
  }

  mutating func removeAll() {
    waiting.removeAll()
    hasLost = false
  }
}
