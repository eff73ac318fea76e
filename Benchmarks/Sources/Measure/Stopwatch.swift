/// Seconds of each repetition, after one that warms up.
func seconds(_ repeats: Int, _ body: () throws -> Void) rethrows -> [Double] {
  let clock = ContinuousClock()
  try body()
  return try (0..<max(repeats, 1)).map { _ in
    let start = clock.now
    try body()
    let (whole, rest) = (clock.now - start).components
    return Double(whole) + Double(rest) * 1e-18
  }
}

/// The same for work that is too short for a clock: `inner` calls together, divided.
func seconds(_ repeats: Int, each inner: Int, _ body: () -> Void) -> [Double] {
  seconds(repeats) { for _ in 0..<inner { body() } }.map { $0 / Double(inner) }
}

/// Keeps a result from being optimised away.
@inline(never)
func consume(_ value: some Any) {}
