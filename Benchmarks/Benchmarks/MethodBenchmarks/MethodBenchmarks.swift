import Benchmark
import Inputs
import TokenPruning

/// The sizes of LLaVA-1.5, of five views of it, and of LLaVA-NeXT; budgets of a third, two ninths and a ninth.
private let sizes: [(tokens: Int, width: Int)] = [(576, 1024), (2880, 1024), (2880, 4096)]
private let shares: [(name: String, ninths: Int)] = [("1/3", 3), ("2/9", 2), ("1/9", 1)]
private let methods = ["topk", "divprune", "cdpruner", "visionzip", "tome", "dart", "crop"]

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .cpuTotal], timeUnits: .microseconds, maxDuration: .seconds(1), maxIterations: 200)

  for size in sizes {
    for method in methods {
      for share in shares {
        let count = size.tokens * share.ninths / 9
        Benchmark("\(method) \(size.tokens)x\(size.width) K=\(share.name)") { run, input in
          let request = try PruneRequest(Inputs.request(method: method, keeping: count))
          run.startMeasurement()
          for _ in run.scaledIterations { blackHole(try prune(input, request).kept) }
        } setup: {
          Inputs.pruningInput(tokens: size.tokens, width: size.width)
        }
      }
    }
  }
}
