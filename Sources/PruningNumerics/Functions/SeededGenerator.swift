/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): the same seed gives the same sequence on every machine.
public struct SeededGenerator: Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// A number in 0..<bound, every one equally likely: the high half of a product, with the few low halves
  /// that would favour some results drawn again (Lemire, arXiv 1805.10941).
  public mutating func next(below bound: Int) -> Int {
    precondition(bound > 0)
    let range = UInt64(bound)
    let unfair = (0 &- range) % range
    while true {
      let product = next().multipliedFullWidth(by: range)
      if product.low >= unfair { return Int(product.high) }
    }
  }
}
