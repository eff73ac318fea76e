import JSON
import TensorFormats
import Tensors

extension FuzzTarget {
  /// npy bodies, with and without the word that two opaque bytes are bfloat16.
  static let npy = FuzzTarget("npy", maximumBytes: 512) { bytes throws(BrokenLaw) in
    for type in [nil, ElementType.bfloat16] {
      let hints = DecodingHints(tensorName: "x", elementType: type)
      guard let document = try TensorLaws.decode(NPYFormat.self, bytes, hints) else { continue }
      guard let tensor = document.tensors.tensor("x") else {
        throw BrokenLaw("one tensor with the given name")
      }
      try TensorLaws.checkNumbers(tensor)
      guard let body = try? NPYFormat.encode([("x", tensor)], response: JSONObject()) else {
        throw BrokenLaw("what was read can be written")
      }
      let again = try TensorLaws.decode(NPYFormat.self, body, DecodingHints(tensorName: "x"))?.tensors.tensor(
        "x")
      guard let again else { throw BrokenLaw("what was written is read") }
      try require(
        again.shape == tensor.shape && again.floats().map(\.bitPattern) == tensor.floats().map(\.bitPattern),
        "the tensor stays the same")
    }
  }
}
