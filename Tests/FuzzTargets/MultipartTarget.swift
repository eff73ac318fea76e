import JSON
import TensorFormats
import Tensors

extension FuzzTarget {
  /// Forms whose boundary is `b`.
  static let multipart = FuzzTarget("multipart", maximumBytes: 2048) { bytes throws(BrokenLaw) in
    let hints = DecodingHints(
      parameterNames: ["keep_tokens", "layout", "region", "tensor_dtype"], boundary: "b")
    try require(
      MultipartFormat.decodingBytes(of: bytes[...], hints) >= 0, "memory needed is a count of bytes")
    guard let document = try TensorLaws.decode(MultipartFormat.self, bytes, hints) else { return }
    let tensors = TensorLaws.list(document.tensors)
    for (_, tensor) in tensors { try TensorLaws.checkNumbers(tensor) }
    try require(
      Set(document.parameters.names).count == document.parameters.names.count, "no parameter is given twice")
    // The same tensors as one part of safetensors, and the parameters as one object, are the same document.
    guard let file = try? SafetensorsFormat.encode(tensors, response: JSONObject()) else {
      throw BrokenLaw("what was read can be written")
    }
    let head = "--b\r\nContent-Disposition: form-data; name=\"tensors\"\r\n\r\n"
    let tail = "\r\n--b--"
    // The file itself may hold the boundary, which is then another form.
    guard !contains(file, Array("\r\n--b".utf8)) else { return }
    let again = try TensorLaws.decode(
      MultipartFormat.self, Array(head.utf8) + file + Array(tail.utf8), hints)
    guard let again else { throw BrokenLaw("what was written is read") }
    try require(again.tensors.names == document.tensors.names, "the names stay the same")
    for (name, tensor) in tensors {
      let same = TensorLaws.list(again.tensors).first { $0.name == name }?.tensor
      try require(TensorLaws.same(same, tensor), "\(name) stays the same")
    }
  }

  private static func contains(_ bytes: [UInt8], _ pattern: [UInt8]) -> Bool {
    bytes.indices.contains { bytes[$0...].starts(with: pattern) }
  }
}
