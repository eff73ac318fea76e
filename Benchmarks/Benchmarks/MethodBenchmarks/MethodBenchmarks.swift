import Benchmark
import Inputs
import TokenPruning

/// The sizes of LLaVA-1.5, of five views of it, and of LLaVA-NeXT; budgets of a third, two ninths and a ninth.
private let sizes: [(tokens: Int, width: Int)] = [(576, 1024), (2880, 1024), (2880, 4096)]
private let shares: [(name: String, ninths: Int)] = [("1/3", 3), ("2/9", 2), ("1/9", 1)]
/// What ``Inputs/pruningInput(tokens:width:isSmooth:)`` has.
private let inputs: Set = ["image_features", "text_features", "attention"]

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock], timeUnits: .nanoseconds, maxDuration: .milliseconds(500), maxIterations: 200)

  // Searches, whose time depends on the features: as encoders give them.
  for size in sizes {
    for share in shares {
      for method in ["divprune", "cdpruner"] {
        Benchmark("\(method), smooth, \(size.tokens)x\(size.width) K=\(share.name)") { run, input in
          let request = try PruneRequest(
            Inputs.request(method: method, keeping: size.tokens * share.ninths / 9))
          run.startMeasurement()
          for _ in run.scaledIterations { blackHole(try prune(input, request).kept) }
        } setup: {
          Inputs.pruningInput(tokens: size.tokens, width: size.width, isSmooth: true)
        }
      }
    }
  }

  // Every registered method: one that is added is timed from then on.
  let methods = MethodRegistry.standard.descriptors.filter { inputs.isSuperset(of: $0.requiredInputs) }
  for size in sizes {
    for share in shares {
      let count = size.tokens * share.ninths / 9
      for method in methods.map(\.name) {
        Benchmark("\(method) \(size.tokens)x\(size.width) K=\(share.name)") { run, input in
          let request = try PruneRequest(Inputs.request(method: method, keeping: count))
          run.startMeasurement()
          for _ in run.scaledIterations { blackHole(try prune(input, request).kept) }
        } setup: {
          Inputs.pruningInput(tokens: size.tokens, width: size.width)
        }
      }
      for method in ["tome", "visionzip"] {
        Benchmark("\(method), merging, \(size.tokens)x\(size.width) K=\(share.name)") { run, input in
          let request = try CompressRequest(Inputs.request(method: method, keeping: count))
          run.startMeasurement()
          for _ in run.scaledIterations { blackHole(try compress(input, request).keptIndices) }
        } setup: {
          Inputs.pruningInput(tokens: size.tokens, width: size.width)
        }
      }
    }
  }
}
