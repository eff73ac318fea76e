import Locking

/// Body buffers that were touched before, kept for the next request.
///
/// A fresh buffer for every large body costs about as much as receiving it, because its pages are faulted in one by
/// one. So buffers are reused; the pool is bounded, and what a quiet period leaves unused is freed.
public final class BufferPool: Sendable {
  private struct State {
    var buffers: [[UInt8]] = []
    var heldBytes = 0
    /// The fewest buffers held since the last trim: so many were never needed.
    var spareCount = 0
  }

  private let state = Locked(State())
  private let maximumHeldBytes: Int

  /// Smaller buffers are not worth a lock: malloc serves them from its own caches.
  static let smallest = 64 << 10

  public init(maximumHeldBytes: Int) { self.maximumHeldBytes = maximumHeldBytes }

  public var heldBytes: Int { state.withLock { $0.heldBytes } }

  /// An empty buffer with at least `capacity` bytes reserved.
  public func take(capacity: Int) -> [UInt8] {
    guard capacity >= Self.smallest else {
      var buffer: [UInt8] = []
      buffer.reserveCapacity(capacity)
      return buffer
    }
    let pooled = state.withLock { state -> [UInt8]? in
      // The tightest fit, newest first (its pages are warm); never one more than four times too large, or a
      // small request would pin a large buffer.
      var best: Int?
      for index in state.buffers.indices.reversed() {
        let size = state.buffers[index].capacity
        guard size >= capacity, size <= 4 * capacity else { continue }
        if let current = best, state.buffers[current].capacity <= size { continue }
        best = index
      }
      guard let best else { return nil }
      state.heldBytes -= state.buffers[best].capacity
      let buffer = state.buffers.remove(at: best)
      state.spareCount = min(state.spareCount, state.buffers.count)
      return buffer
    }
    if let pooled { return pooled }
    var buffer: [UInt8] = []
    buffer.reserveCapacity(Self.roundedUp(capacity))
    return buffer
  }

  /// Takes a buffer back. Its contents are forgotten; a buffer somebody else still views is let go.
  public func give(_ buffer: consuming [UInt8]) {
    guard buffer.capacity >= Self.smallest, buffer.capacity <= maximumHeldBytes else { return }
    let capacity = buffer.capacity
    let address = buffer.withUnsafeBytes { $0.baseAddress }
    buffer.removeAll(keepingCapacity: true)
    // removeAll on a shared buffer made a new one: reusing that would be no reuse at all.
    guard buffer.withUnsafeBytes({ $0.baseAddress }) == address else { return }
    let kept = buffer
    state.withLock { state in
      guard state.heldBytes + capacity <= maximumHeldBytes else { return }
      state.buffers.append(kept)
      state.heldBytes += capacity
    }
  }

  /// Frees the buffers that were not needed since the last call.
  public func trim() {
    let freed = state.withLock { state -> [[UInt8]] in
      let spare = min(state.spareCount, state.buffers.count)
      let freed = Array(state.buffers.prefix(spare))
      state.buffers.removeFirst(spare)
      state.heldBytes -= freed.reduce(0) { $0 + $1.capacity }
      state.spareCount = state.buffers.count
      return freed
    }
    // Unmapped here, outside the lock.
    _ = freed
  }

  /// Capacities in steps of a sixteenth of their magnitude, so that bodies of nearly one size share buffers.
  static func roundedUp(_ capacity: Int) -> Int {
    let step = max(1 << 12, (1 << (Int.bitWidth - 1 - capacity.leadingZeroBitCount)) / 16)
    let (sum, overflow) = capacity.addingReportingOverflow(step - 1)
    return overflow ? capacity : sum / step * step
  }
}
