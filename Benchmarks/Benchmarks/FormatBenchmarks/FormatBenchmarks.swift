import Benchmark
import HTTP1
import Inputs
import JSON
import TensorFormats
import Tensors

/// Half-precision features [576, 1024], 1.2 MB.
private func features() throws -> Tensor {
  try Tensor(
    elementType: .float16, shape: Shape([576, 1024]),
    bytes: [UInt8](repeating: 0x3c, count: 576 * 1024 * 2)[...])
}

private func read(_ format: any TensorFormat.Type, _ body: [UInt8], _ run: Benchmark) throws {
  run.startMeasurement()
  for _ in run.scaledIterations { blackHole(try format.decode(body[...], DecodingHints())) }
}

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .cpuTotal], timeUnits: .microseconds, maxDuration: .seconds(2))

  Benchmark("safetensors: read 576x1024 F16") { run in
    try read(
      SafetensorsFormat.self, SafetensorsFormat.encode([("image_features", features())], response: [:]), run)
  }
  Benchmark("npy: read 576x1024 F16") { run in
    try read(NPYFormat.self, NPYFormat.encode([("image_features", features())], response: [:]), run)
  }
  Benchmark("JSON: read 576x1024 numbers") { run in
    try read(JSONTensorFormat.self, Inputs.matrixText(rows: 576, columns: 1024), run)
  }
  Benchmark("JSON: read 576x1024 F16 in base64") { run in
    let text = String(repeating: "PDw8", count: 576 * 1024 * 2 / 3)
    let body = "{\"image_features\":{\"dtype\":\"F16\",\"shape\":[576,1024],\"base64\":\"\(text)\"}}"
    try read(JSONTensorFormat.self, Array(body.utf8), run)
  }
  Benchmark("JSON: write 640 indices") { run in
    let kept = Array(stride(from: 0, to: 2880, by: 4))
    for _ in run.scaledIterations {
      var writer = JSONWriter()
      writer.beginArray()
      writer.write(kept)
      writer.endArray()
      blackHole(writer.bytes)
    }
  }
  Benchmark("HTTP: parse a head of nine fields", configuration: .init(scalingFactor: .kilo)) { run in
    for _ in run.scaledIterations {
      var parser = RequestParser()
      blackHole(try parser.parse(Inputs.requestHead))
    }
  }
}
