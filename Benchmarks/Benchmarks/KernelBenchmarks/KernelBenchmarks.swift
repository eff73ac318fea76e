import Benchmark
import Inputs
import Kernels

/// Rows and columns: the features of LLaVA-1.5, of five views of it, and of LLaVA-NeXT.
private let sizes: [(rows: Int, columns: Int)] = [(576, 1024), (2880, 1024), (2880, 4096)]

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock], timeUnits: .nanoseconds, maxDuration: .seconds(1), maxIterations: 1000)

  for set in KernelSet.available {
    for size in sizes {
      rowBenchmarks(set, "\(size.rows)x\(size.columns)", size.rows, size.columns)
      formatBenchmarks(set, "\(size.rows)x\(size.columns)", size.rows, size.columns)
    }
    for tokens in [577, 2881] { meanBenchmark(set, tokens) }
  }
  for (count, keep) in [(576, 64), (576, 192), (2880, 320), (2880, 960)] { topKBenchmark(count, keep) }
}

/// Products of rows with each other.
private func rowBenchmarks(_ set: KernelSet, _ size: String, _ count: Int, _ columns: Int) {
  Benchmark("\(set.name): all products of rows, \(size)") { run, rows in
    var products = [Float](repeating: 0, count: count * count)
    run.startMeasurement()
    for _ in run.scaledIterations {
      rows.withUnsafeBufferPointer { rows in
        products.withUnsafeMutableBufferPointer { products in
          guard let from = rows.baseAddress, let to = products.baseAddress else { return }
          set.gram(from, count: count, columns: columns, into: to)
        }
      }
    }
    blackHole(products)
  } setup: {
    Inputs.features(rows: count, columns: columns)
  }
  Benchmark("\(set.name): one row with all, four at a time, \(size)") { run, rows in
    run.startMeasurement()
    for _ in run.scaledIterations {
      rows.withUnsafeBufferPointer { rows in
        guard let first = rows.baseAddress else { return }
        for row in stride(from: 0, to: count, by: 4) {
          let others = first + row * columns
          blackHole(
            set.column(
              first, others, others + columns, others + 2 * columns, others + 3 * columns, columns))
        }
      }
    }
  } setup: {
    Inputs.features(rows: count, columns: columns)
  }
  Benchmark("\(set.name): four rows with all in tiles, float64, \(size)") { run, rows in
    var sums = [Double](repeating: 0, count: 16)
    run.startMeasurement()
    for _ in run.scaledIterations {
      rows.withUnsafeBufferPointer { rows in
        sums.withUnsafeMutableBufferPointer { sums in
          guard let a = rows.baseAddress, let into = sums.baseAddress else { return }
          for row in stride(from: 0, to: count, by: 4) {
            let b = a + row * columns
            set.tiles.preciseTile(
              a, a + columns, a + 2 * columns, a + 3 * columns, b, b + columns, b + 2 * columns,
              b + 3 * columns, columns, into)
          }
        }
      }
    }
    blackHole(sums)
  } setup: {
    Inputs.features(rows: count, columns: columns)
  }
}

/// Reading tensors: widening fused with the lengths of rows.
private func formatBenchmarks(_ set: KernelSet, _ size: String, _ count: Int, _ columns: Int) {
  for (name, format, width) in [("F16", set.float16, 2), ("BF16", set.bfloat16, 2), ("F32", set.float32, 4)] {
    Benchmark("\(set.name): widen and measure rows, \(name), \(size)") { run in
      // 1.0 in each of the formats, or nearly.
      let source = [UInt16](repeating: name == "BF16" ? 0x3f80 : 0x3c00, count: count * columns * width / 2)
      var target = [Float](repeating: 0, count: count * columns)
      run.startMeasurement()
      for _ in run.scaledIterations {
        source.withUnsafeBytes { source in
          target.withUnsafeMutableBufferPointer { target in
            guard let from = source.baseAddress, let into = target.baseAddress else { return }
            for row in 0..<count {
              blackHole(format.measure(from + row * columns * width, into + row * columns, columns))
            }
          }
        }
      }
    }
  }
}

/// The mean over 16 heads of [CLS]'s attention, and over all rows of it.
private func meanBenchmark(_ set: KernelSet, _ tokens: Int) {
  for rows in [16, 16 * 577] {
    Benchmark("\(set.name): sum of \(rows) rows of \(tokens), F16") { run in
      let source = [UInt16](repeating: 0x1400, count: rows * tokens)
      var sums = [Double](repeating: 0, count: tokens)
      run.startMeasurement()
      for _ in run.scaledIterations {
        source.withUnsafeBytes { source in
          sums.withUnsafeMutableBufferPointer { sums in
            guard let from = source.baseAddress, let into = sums.baseAddress else { return }
            set.float16.accumulate(from, rows, tokens, into, tokens)
          }
        }
      }
      blackHole(sums)
    }
  }
}

private func topKBenchmark(_ count: Int, _ keep: Int) {
  Benchmark("the highest \(keep) of \(count)", configuration: .init(scalingFactor: .kilo)) {
    run in
    let scores = Inputs.uniform(count).map { Double($0) }
    let candidates = Array(0..<count)
    run.startMeasurement()
    for _ in run.scaledIterations {
      blackHole(RankedKeys.highestAscending(keep, of: scores, among: candidates))
    }
  }
}
