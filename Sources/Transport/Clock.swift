import LibC

/// Monotonic time in nanoseconds: one vDSO call, no allocation.
enum Clock {
  static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }

  static var wallSeconds: Int { Int(time(nil)) }
}

extension Duration {
  package var nanoseconds: Int64 { Int64(clamping: attoseconds / 1_000_000_000) }
}
