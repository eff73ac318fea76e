import JSON
import TensorFormats
import Tensors

extension FuzzTarget {
  /// JSON bodies: tensors and parameters side by side.
  static let jsonTensors = FuzzTarget("json-tensors", maximumBytes: 2400) { bytes throws(BrokenLaw) in
    let hints = DecodingHints(parameterNames: ["keep_tokens", "layout", "region", "stages"])
    guard let document = try TensorLaws.decode(JSONTensorFormat.self, bytes, hints) else { return }
    try require((try? JSONValue.parse(bytes[...])) != nil, "what holds tensors is JSON")
    let tensors = TensorLaws.list(document.tensors)
    for (_, tensor) in tensors { try TensorLaws.checkNumbers(tensor) }
    // I64 are written as plain arrays, which are read as F32.
    let others = tensors.filter { $0.tensor.elementType != .int64 }
    guard let body = try? JSONTensorFormat.encode(others, response: document.parameters) else { return }
    let names = hints.parameterNames.union(document.parameters.names)
    guard
      let again = try TensorLaws.decode(JSONTensorFormat.self, body, DecodingHints(parameterNames: names))
    else { throw BrokenLaw("what was written is read") }
    try require(again.parameters == document.parameters, "parameters stay the same")
    let list = Dictionary(uniqueKeysWithValues: TensorLaws.list(again.tensors).map { ($0.name, $0.tensor) })
    try require(
      list.count == others.count && others.allSatisfy { TensorLaws.same(list[$0.name], $0.tensor) },
      "tensors stay the same")
  }
}
