// Written by Benchmarks/bench_costs.py; do not edit.
//
// These figures are its fit of points that were read back from the rounded log of one run on a busy machine, prunesid's from
// a run of its own: measure them again with --write on an idle one.

extension CallCost {
  /// The machine and the day of these figures, and the features.
  static let measuredOn = "AMD EPYC on a busy day, 2026-11-28, features without structure"

  /// Milliseconds of a request that computes nothing, and more for each megabyte of body.
  static let transports: [(name: String, overhead: Double, perMegabyte: Double)] = [
    ("tcp", 0.488, 0.314),
    ("unix", 0.385, 0.236),
  ]

  /// Milliseconds at 576 tokens of width 1,024 of which 64 are kept, and exponents of tokens, width and kept tokens.
  static let methods: [String: MethodCost] = [
    "crop": MethodCost(base: 0.0410, tokens: 0.20, width: 0.30, kept: 0.10),
    "fastv": MethodCost(base: 0.0410, tokens: 0.20, width: 0.30, kept: 0.10),
    "fastervlm": MethodCost(base: 0.0410, tokens: 0.20, width: 0.30, kept: 0.10),
    "divprune": MethodCost(base: 1.5440, tokens: 2.00, width: 0.90, kept: 0.10),
    "cdpruner": MethodCost(base: 0.4829, tokens: 0.30, width: 1.00, kept: 1.00),
    "vispruner": MethodCost(base: 6.3912, tokens: 2.00, width: 0.50, kept: 0.00),
    "visionzip": MethodCost(base: 0.0509, tokens: 0.00, width: 0.40, kept: 0.20),
    "prumerge": MethodCost(base: 0.0459, tokens: 0.10, width: 0.40, kept: 0.00),
    "prumerge_plus": MethodCost(base: 0.0412, tokens: 0.20, width: 0.30, kept: 0.10),
    "tome": MethodCost(base: 2.3136, tokens: 1.80, width: 1.00, kept: 0.10),
    "dart": MethodCost(base: 0.4705, tokens: 1.10, width: 0.80, kept: 0.10),
    "hired": MethodCost(base: 0.0410, tokens: 0.20, width: 0.30, kept: 0.10),
    "trim": MethodCost(base: 0.0817, tokens: 1.50, width: 1.00, kept: 0.20),
    "evs": MethodCost(base: 0.0923, tokens: 1.20, width: 1.00, kept: 0.20),
    "sparsevlm": MethodCost(base: 0.0505, tokens: 0.00, width: 0.60, kept: 0.00),
    "sparsevlm_plus": MethodCost(base: 0.7567, tokens: 1.00, width: 0.00, kept: 0.00),
    "pyramiddrop": MethodCost(base: 0.0489, tokens: 0.50, width: 0.00, kept: 0.00),
    "scope": MethodCost(base: 5.5655, tokens: 2.00, width: 0.70, kept: 0.10),
    "holov": MethodCost(base: 4.2613, tokens: 1.90, width: 1.00, kept: 0.00),
    "vidcom2": MethodCost(base: 1.8340, tokens: 1.20, width: 1.00, kept: 0.20),
    "prunesid": MethodCost(base: 72.0314, tokens: 1.40, width: 0.80, kept: 0.00),
    "mmtok": MethodCost(base: 10.8279, tokens: 2.00, width: 0.80, kept: 0.00),
    "apet": MethodCost(base: 5.6275, tokens: 1.00, width: 1.00, kept: 0.00),
    "ivcprune": MethodCost(base: 2.1534, tokens: 1.60, width: 1.00, kept: 0.20),
    "vscan": MethodCost(base: 0.0459, tokens: 0.10, width: 0.40, kept: 0.00),
    "pixelprune": MethodCost(base: 5.2719, tokens: 1.00, width: 0.00, kept: 0.00),
    "topk": MethodCost(base: 0.0410, tokens: 0.20, width: 0.30, kept: 0.10),
    "uniform": MethodCost(base: 0.0463, tokens: 0.20, width: 0.20, kept: 0.10),
    "random": MethodCost(base: 0.0410, tokens: 0.20, width: 0.30, kept: 0.10),
    "pool": MethodCost(base: 0.0302, tokens: 2.00, width: 0.90, kept: 0.20),
    "downsample": MethodCost(base: 0.1640, tokens: 1.10, width: 1.00, kept: 0.00),
  ]
}
