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

  /// Only memory is closed at once: nothing that a client does can make that wait.
  fileprivate func close(_ rawValue: Int32) {
    if crop_is_memory(rawValue) != 0 { _ = FileDescriptor(owning: rawValue) } else { closing.close(rawValue) }
  }
}

/// A descriptor that a client sent over a Unix socket; closed with the last reference.
final class ReceivedDescriptor: Sendable {
  let rawValue: Int32
  private let budget: DescriptorBudget

  /// - Returns: nil when the server holds as many as it may; the descriptor is closed then, too.
  init?(owning rawValue: Int32, _ budget: DescriptorBudget) {
    guard budget.take() else {
      budget.close(rawValue)
      return nil
    }
    self.rawValue = rawValue
    self.budget = budget
  }

  deinit {
    budget.close(rawValue)
    budget.give()
  }
}

/// Descriptors that came with bytes of a connection and belong to requests that are not read yet, in order.
struct DescriptorQueue: Sendable {
  /// Of a connection: what waits is that of the next request, and one that was sent ahead.
  private static let maximumCount = 2

  private var waiting: [ReceivedDescriptor] = []
  /// One was dropped for want of room.
  private var hasLost = false

  var isEmpty: Bool { waiting.isEmpty && !hasLost }

  /// - Parameter descriptors: owned from here on.
  mutating func append(_ descriptors: some Sequence<Int32>, _ budget: DescriptorBudget) {
    for rawValue in descriptors {
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
  /// - Throws: when one came and could not be held.
  mutating func takeFirst() throws(SharedMemoryError) -> ReceivedDescriptor? {
    guard waiting.isEmpty else { return waiting.removeFirst() }
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
