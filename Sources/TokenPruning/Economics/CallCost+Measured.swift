// Written by Benchmarks/bench_costs.py; do not edit.

extension CallCost {
  /// The machine and the day of these figures, and the features.
  static let measuredOn = "Intel(R) Xeon(R) Processor, 2026-11-30, features without structure"

  /// Milliseconds of a request that computes nothing, and more for each megabyte of body.
  static let transports: [(name: String, overhead: Double, perMegabyte: Double)] = [
    ("tcp", 0.367, 0.562),
    ("unix", 0.182, 0.501),
  ]

  /// Milliseconds at 576 tokens of width 1,024 of which 64 are kept, and exponents of tokens, width and kept tokens.
  static let methods: [String: MethodCost] = [
    "crop": MethodCost(base: 0.0500, tokens: 0.00, width: 0.00, kept: 0.00),
    "fastv": MethodCost(base: 0.0519, tokens: 0.00, width: 0.00, kept: 0.00),
    "fastervlm": MethodCost(base: 0.0518, tokens: 0.00, width: 0.00, kept: 0.00),
    "divprune": MethodCost(base: 4.7119, tokens: 1.70, width: 0.70, kept: 0.20),
    "cdpruner": MethodCost(base: 0.6790, tokens: 0.60, width: 1.00, kept: 1.00),
    "vispruner": MethodCost(base: 13.5588, tokens: 1.70, width: 0.60, kept: 0.00),
    "visionzip": MethodCost(base: 0.0446, tokens: 0.30, width: 0.20, kept: 0.10),
    "prumerge": MethodCost(base: 0.0557, tokens: 0.20, width: 0.00, kept: 0.00),
    "prumerge_plus": MethodCost(base: 0.0440, tokens: 0.70, width: 0.20, kept: 0.20),
    "tome": MethodCost(base: 7.6242, tokens: 1.50, width: 0.90, kept: 0.00),
    "dart": MethodCost(base: 0.6440, tokens: 1.30, width: 1.00, kept: 0.00),
    "hired": MethodCost(base: 0.0570, tokens: 0.00, width: 0.00, kept: 0.00),
    "trim": MethodCost(base: 0.5123, tokens: 1.20, width: 1.00, kept: 0.10),
    "evs": MethodCost(base: 0.6127, tokens: 1.10, width: 1.00, kept: 0.20),
    "sparsevlm": MethodCost(base: 0.0514, tokens: 0.30, width: 0.00, kept: 0.20),
    "sparsevlm_plus": MethodCost(base: 1.1615, tokens: 1.00, width: 0.00, kept: 0.00),
    "pyramiddrop": MethodCost(base: 0.0518, tokens: 0.30, width: 0.00, kept: 0.00),
    "scope": MethodCost(base: 6.5821, tokens: 2.00, width: 0.80, kept: 0.00),
    "holov": MethodCost(base: 1.1926, tokens: 1.40, width: 1.00, kept: 0.00),
    "vidcom2": MethodCost(base: 1.4789, tokens: 1.20, width: 1.00, kept: 0.00),
    "prunesid": MethodCost(base: 50.7089, tokens: 1.30, width: 0.70, kept: 0.00),
    "mmtok": MethodCost(base: 9.6684, tokens: 1.70, width: 1.00, kept: 0.20),
    "apet": MethodCost(base: 4.1897, tokens: 1.00, width: 1.00, kept: 0.00),
    "ivcprune": MethodCost(base: 6.4536, tokens: 1.30, width: 1.00, kept: 0.10),
    "vscan": MethodCost(base: 0.1023, tokens: 0.40, width: 0.00, kept: 0.00),
    "pixelprune": MethodCost(base: 8.8538, tokens: 1.00, width: 0.00, kept: 0.00),
    "topk": MethodCost(base: 0.0500, tokens: 0.00, width: 0.00, kept: 0.00),
    "uniform": MethodCost(base: 0.0500, tokens: 0.00, width: 0.00, kept: 0.00),
    "random": MethodCost(base: 0.0500, tokens: 0.00, width: 0.00, kept: 0.00),
    "pool": MethodCost(base: 0.3868, tokens: 1.10, width: 1.00, kept: 0.10),
    "downsample": MethodCost(base: 0.3156, tokens: 1.30, width: 1.00, kept: 0.20),
  ]
}
