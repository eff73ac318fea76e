import Locking

/// Body buffers that were touched before, kept for the next request.
///
/// A fresh buffer for every large body costs about as much as receiving it, because its pages are faulted in one by
/// one. So buffers are reused; the pool is bounded, and what a quiet period leaves unused is freed.
public final class BufferPool: Sendable {
  private struct State {
    var buffers: [[UInt8]] = []
    var heldBytes = 0
    /// Buffers taken out that were touched before, by address: however little their requests fill, their memory is
    /// there.
    var lent: [UInt: Int] = [:]
    var lentBytes = 0
    /// The fewest buffers held since the last trim: that many were never needed.
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
      let buffer = state.buffers.remove(at: best)
      state.heldBytes -= buffer.capacity
      state.lentBytes +=
        buffer.capacity - (state.lent.updateValue(buffer.capacity, forKey: Self.address(buffer)) ?? 0)
      state.spareCount = min(state.spareCount, state.buffers.count)
      return buffer
    }
    if let pooled { return pooled }
    var buffer: [UInt8] = []
    buffer.reserveCapacity(Self.roundedUp(capacity))
    ProcessMemory.forget(buffer)
    return buffer
  }

  /// Takes a buffer back. Its contents are forgotten; a buffer somebody else still views is let go.
  public func give(_ buffer: consuming [UInt8]) {
    guard buffer.capacity >= Self.smallest else { return }
    let capacity = buffer.capacity
    let address = Self.address(buffer)
    buffer.removeAll(keepingCapacity: true)
    // removeAll on a shared buffer made a new one: reusing that would be no reuse at all.
    let isOwn = Self.address(buffer) == address
    let kept = buffer
    state.withLock { state in
      state.lentBytes -= state.lent.removeValue(forKey: address) ?? 0
      guard isOwn, state.heldBytes + state.lentBytes + capacity <= maximumHeldBytes else { return }
      state.buffers.append(kept)
      state.heldBytes += capacity
    }
  }

  private static func address(_ buffer: [UInt8]) -> UInt {
    buffer.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
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
