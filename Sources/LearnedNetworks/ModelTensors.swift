import JSON
import PruningNumerics
import Tensors

/// The tensors of one model, taken out by name; each must be there with the shape the configuration demands.
struct ModelTensors {
  private var tensors: [String: Tensor]
  /// Numbers taken so far.
  private(set) var parameterCount = 0

  init(_ tensors: [String: Tensor]) { self.tensors = tensors }

  /// - Throws: when it is missing, not F32, F16 or BF16, of another shape, or holds NaN or an infinity.
  mutating func take(_ name: String, _ dimensions: [Int]) throws(ModelError) -> [Float] {
    let shape = "[\(dimensions.map(String.init).joined(separator: ","))]"
    guard let tensor = tensors.removeValue(forKey: name) else {
      throw ModelError(at: name, "is missing; a tensor \(shape) is expected")
    }
    guard [.float32, .float16, .bfloat16].contains(tensor.elementType) else {
      throw ModelError(at: name, "is \(tensor.elementType.rawValue); weights are F32, F16 or BF16")
    }
    guard tensor.shape.dimensions == dimensions else {
      throw ModelError(at: name, "has shape \(tensor.shape); \(shape) is expected")
    }
    if let index = tensor.firstNonFiniteIndex() {
      throw ModelError(at: name, "element \(index) (row-major) is NaN or infinite")
    }
    parameterCount += tensor.elementCount
    return tensor.floats()
  }

  mutating func matrix(_ name: String, rows: Int, columns: Int) throws(ModelError) -> Matrix {
    Matrix(rows: rows, columns: columns, values: try take(name, [rows, columns]))
  }

  /// `<name>.weight` [outputs, inputs] and `<name>.bias` [outputs].
  mutating func linear(_ name: String, inputs: Int, outputs: Int) throws(ModelError) -> LinearLayer {
    let weight = try matrix("\(name).weight", rows: outputs, columns: inputs)
    let bias = try take("\(name).bias", [outputs])
    return LinearLayer(weight: weight, bias: bias)
  }

  /// `<name>.weight` [width] and `<name>.bias` [width].
  mutating func norm(_ name: String, width: Int) throws(ModelError) -> LayerNorm {
    let gain = try take("\(name).weight", [width])
    let bias = try take("\(name).bias", [width])
    return LayerNorm(gain: gain, bias: bias)
  }

  /// `<name>.query_norm`, `.key_norm`, `.query`, `.key`, `.value` and `.output`.
  mutating func attention(
    _ name: String, width: Int, heads: Int, outputs: Int
  ) throws(ModelError) -> CrossAttention {
    let queryNorm = try norm("\(name).query_norm", width: width)
    let keyNorm = try norm("\(name).key_norm", width: width)
    let query = try linear("\(name).query", inputs: width, outputs: width)
    let key = try linear("\(name).key", inputs: width, outputs: width)
    let value = try linear("\(name).value", inputs: width, outputs: width)
    let output = try linear("\(name).output", inputs: width, outputs: outputs)
    return CrossAttention(
      heads: heads, queryNorm: queryNorm, keyNorm: keyNorm, query: query, key: key, value: value,
      output: output)
  }

  /// `<name>.norm`, `.hidden` and `.output`.
  mutating func feedForward(_ name: String, width: Int, hidden: Int) throws(ModelError) -> FeedForward {
    let norm = try norm("\(name).norm", width: width)
    let hiddenLayer = try linear("\(name).hidden", inputs: width, outputs: hidden)
    let output = try linear("\(name).output", inputs: hidden, outputs: width)
    return FeedForward(norm: norm, hidden: hiddenLayer, output: output)
  }

  /// - Throws: for a tensor that nothing took: the file is not the model it says it is.
  func refuseLeftovers() throws(ModelError) {
    guard let name = tensors.keys.min() else { return }
    throw ModelError(
      at: name.excerpt,
      "does not belong to such a model" + (tensors.count > 1 ? ", nor do \(tensors.count - 1) others" : ""))
  }
}
