import PruningNumerics

/// What a call of /prune costs: time to send it, and time to compute the answer.
///
/// The figures are those of one machine and day (``measuredOn``), written by `Benchmarks/bench_costs.py` on features without
/// structure, for which searches take longest: no call should cost more than it was planned for. Between shapes a
/// power law holds: ms = base (N / 576)^a (D / 1,024)^b (K / 64)^c.
struct CallCost {
  struct MethodCost: Sendable {
    /// Milliseconds for 576 tokens of width 1,024, of which 64 are kept.
    let base: Double
    let tokens: Double
    let width: Double
    let kept: Double
  }

  static var transportNames: [String] { transports.map(\.name) }

  /// Milliseconds to choose `kept` of `tokens`; nil for a method that was not measured.
  static func compute(_ method: String, tokens: Int, width: Int, kept: Int) -> Double? {
    guard let cost = methods[method] else { return nil }
    func factor(_ count: Int, _ measured: Double, _ exponent: Double) -> Double {
      exponential(exponent * naturalLogarithm(Double(max(count, 1)) / measured))
    }
    return cost.base * factor(tokens, 576, cost.tokens) * factor(width, 1024, cost.width)
      * factor(kept, 64, cost.kept)
  }

  /// Milliseconds to send `bytes` and to receive the answer; nil for an unknown transport.
  static func transport(_ name: String, bytes: Double) -> Double? {
    transports.first { $0.name == name }.map { $0.overhead + $0.perMegabyte * bytes / 1e6 }
  }
}
