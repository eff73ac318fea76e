import JSON
import TensorFormats
import Tensors

extension FuzzTarget {
  /// safetensors bodies.
  static let safetensors = FuzzTarget("safetensors", maximumBytes: 1024) { bytes throws(BrokenLaw) in
    guard let document = try TensorLaws.decode(SafetensorsFormat.self, bytes, DecodingHints()) else { return }
    let tensors = TensorLaws.list(document.tensors)
    for (_, tensor) in tensors { try TensorLaws.checkNumbers(tensor) }
    guard let body = try? SafetensorsFormat.encode(tensors, response: document.parameters) else {
      throw BrokenLaw("what was read can be written")
    }
    guard let again = try TensorLaws.decode(SafetensorsFormat.self, body, DecodingHints()) else {
      throw BrokenLaw("what was written is read")
    }
    let list = Dictionary(uniqueKeysWithValues: TensorLaws.list(again.tensors).map { ($0.name, $0.tensor) })
    try require(
      list.count == tensors.count && tensors.allSatisfy { TensorLaws.same(list[$0.name], $0.tensor) },
      "tensors stay the same")
  }
}
