import Benchmark
import HTTP1
import Inputs
import JSON
import TensorFormats
import Tensors

/// One row of scores, the features of LLaVA-1.5, and those of LLaVA-NeXT.
private let sizes: [(name: String, shape: [Int])] = [
  ("576 (1 KB)", [1, 576]), ("576x1024 (1.2 MB)", [576, 1024]), ("2880x4096 (24 MB)", [2880, 4096]),
]
/// Text takes ten bytes for a number: the last one is as long as the longest of the others.
private let textSizes: [(name: String, rows: Int, columns: Int)] = [
  ("576 (6 KB)", 1, 576), ("205x576 (1.2 MB)", 205, 576), ("576x1024 (6 MB)", 576, 1024),
  ("2304x1024 (24 MB)", 2304, 1024),
]

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock], timeUnits: .nanoseconds, maxDuration: .seconds(1), maxIterations: 1000)

  for size in sizes {
    readBenchmark("safetensors: read F16 \(size.name)", SafetensorsFormat.self) {
      try SafetensorsFormat.encode([("image_features", halves(size.shape))], response: [:])
    }
    readBenchmark("npy: read F16 \(size.name)", NPYFormat.self) {
      try NPYFormat.encode([("image_features", halves(size.shape))], response: [:])
    }
    readBenchmark("JSON: read F16 in base64 \(size.name)", JSONTensorFormat.self) {
      // "PDw8" is three bytes of 0x3c; the shapes have whole threes of bytes.
      let text = String(repeating: "PDw8", count: size.shape.reduce(2, *) / 3)
      let shape = "[\(size.shape[0]),\(size.shape[1])]"
      return Array(
        "{\"image_features\":{\"dtype\":\"F16\",\"shape\":\(shape),\"base64\":\"\(text)\"}}".utf8)
    }
    Benchmark("safetensors: write F16 \(size.name)") { run, tensor in
      run.startMeasurement()
      for _ in run.scaledIterations {
        blackHole(try SafetensorsFormat.encode([("image_features", tensor)], response: [:]))
      }
    } setup: {
      try halves(size.shape)
    }
  }
  for size in textSizes {
    readBenchmark("JSON: read numbers \(size.name)", JSONTensorFormat.self) {
      Inputs.matrixText(rows: size.rows, columns: size.columns)
    }
  }
  for count in [64, 640] {
    Benchmark("JSON: write \(count) indices", configuration: .init(scalingFactor: .kilo)) {
      run in
      let kept = Array(stride(from: 0, to: 4 * count, by: 4))
      for _ in run.scaledIterations {
        var writer = JSONWriter()
        writer.beginArray()
        writer.write(kept)
        writer.endArray()
        blackHole(writer.bytes)
      }
    }
  }
  for (name, head) in [("two", Inputs.plainRequestHead), ("nine", Inputs.requestHead)] {
    Benchmark("HTTP: parse a head of \(name) fields", configuration: .init(scalingFactor: .kilo)) {
      run in
      for _ in run.scaledIterations {
        var parser = RequestParser()
        blackHole(try parser.parse(head))
      }
    }
  }
}

private func halves(_ shape: [Int]) throws -> Tensor {
  try Tensor(
    elementType: .float16, shape: Shape(shape),
    bytes: [UInt8](repeating: 0x3c, count: shape.reduce(2, *))[...])
}

private func readBenchmark(
  _ name: String, _ format: any TensorFormat.Type, _ body: @escaping @Sendable () throws -> [UInt8]
) {
  Benchmark(name) { run, body in
    run.startMeasurement()
    for _ in run.scaledIterations { blackHole(try format.decode(body[...], DecodingHints())) }
  } setup: {
    try body()
  }
}
