import Dispatch
import LibC
import Synchronization

/// Where descriptors are closed whose last reference a client may have left here: closing a socket that lingers, or a file of
/// a file system of the client's, takes as long as the client likes, and no event loop may wait for it.
final class SlowClosing: Sendable {
  private let queue = DispatchQueue(label: "crop.close", attributes: .concurrent)
  private let pending = Atomic(0)

  /// Whoever hangs so many up gets no more of them in.
  private static let maximumPending = 256

  var isFull: Bool { pending.load(ordering: .relaxed) >= Self.maximumPending }

  func close(_ rawValue: Int32) {
    pending.add(1, ordering: .relaxed)
    queue.async { [self] in
      _ = FileDescriptor(owning: rawValue)
      pending.subtract(1, ordering: .relaxed)
    }
  }
}
