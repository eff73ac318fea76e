import Benchmark
import Inputs
import Kernels

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .cpuTotal, .instructions], timeUnits: .microseconds, maxDuration: .seconds(2))

  for set in KernelSet.available {
    for columns in [1024, 4096] {
      let a = Inputs.features(rows: 1, columns: columns)
      let b = Inputs.features(rows: 4, columns: columns, seed: 2)
      Benchmark("\(set.name): inner product of \(columns)", configuration: .init(scalingFactor: .kilo)) {
        run in
        a.withUnsafeBufferPointer { a in
          b.withUnsafeBufferPointer { b in
            guard let a = a.baseAddress, let b = b.baseAddress else { return }
            for _ in run.scaledIterations { blackHole(set.dot(a, b, columns)) }
          }
        }
      }
      Benchmark("\(set.name): one row of \(columns) with four", configuration: .init(scalingFactor: .kilo)) {
        run in
        a.withUnsafeBufferPointer { a in
          b.withUnsafeBufferPointer { b in
            guard let a = a.baseAddress, let b = b.baseAddress else { return }
            for _ in run.scaledIterations {
              blackHole(set.dotFour(a, b, b + columns, b + 2 * columns, b + 3 * columns, columns))
            }
          }
        }
      }
    }
    Benchmark("\(set.name): all products of 576 rows of 1,024") { run in
      let rows = Inputs.features(rows: 576, columns: 1024)
      var products = [Float](repeating: 0, count: 576 * 576)
      run.startMeasurement()
      for _ in run.scaledIterations {
        rows.withUnsafeBufferPointer { rows in
          products.withUnsafeMutableBufferPointer { products in
            guard let from = rows.baseAddress, let to = products.baseAddress else { return }
            set.gram(from, count: 576, columns: 1024, into: to)
          }
        }
      }
      blackHole(products)
    }
    Benchmark("\(set.name): widen 589,824 halves") { run in
      let source = [UInt16](repeating: 0x3c00, count: 589_824)
      var target = [Float](repeating: 0, count: source.count)
      run.startMeasurement()
      for _ in run.scaledIterations {
        source.withUnsafeBytes { source in
          target.withUnsafeMutableBytes { target in
            if let from = source.baseAddress, let to = target.baseAddress {
              blackHole(set.widenFloat16(from, to, 589_824))
            }
          }
        }
      }
    }
  }
}
