import JSON
import PruningService
import TensorFormats
import Tensors

extension FuzzTarget {
  /// Requests of the Open Inference Protocol: two bytes of the length of the JSON, 0 for all of it, and the body.
  static let inference = FuzzTarget("inference", maximumBytes: 2048) { bytes throws(BrokenLaw) in
    let length = bytes.prefix(2).reduce(0) { $0 << 8 | Int($1) }
    let body = Array(bytes.dropFirst(2))
    let hints = DecodingHints(parameterNames: ["keep_tokens", "layout", "method"])
    guard let request = try decode(body, length == 0 ? nil : length, hints) else { return }
    let tensors = TensorLaws.list(request.document.tensors)
    for (_, tensor) in tensors { try TensorLaws.checkNumbers(tensor) }
    let names = request.document.parameters.names
    try require(Set(names).count == names.count, "no parameter is given twice")
    // What was read, written as a response with all outputs as binary data, is read again.
    let all = InferenceRequest(id: request.id, document: request.document, wantsBinaryData: true)
    let alone = tensors.filter { tensor in
      tensor.name != InferenceResponse.textOutput
        && !request.document.tensors.names.contains { tensor.name.hasPrefix($0 + ".") }
    }
    guard let response = try? InferenceResponse(to: all, model: "m", version: "1", alone, response: ["a": 1]),
      let count = response.jsonByteCount,
      let header = try? JSONValue.parse(response.body[..<count]).objectValue,
      let outputs = header["outputs"]?.arrayValue
    else { throw BrokenLaw("what was read can be written, and its header is JSON") }
    try require(outputs.count == alone.count + 1, "every tensor is an output, and the text")
    try require(header["id"]?.stringValue == request.id, "the id comes back")
    let sizes = outputs.compactMap {
      $0.objectValue?["parameters"]?.objectValue?["binary_data_size"]?.integerValue
    }
    try require(count + sizes.reduce(0, +) == response.body.count, "sizes add up")
  }

  private static func decode(
    _ body: [UInt8], _ length: Int?, _ hints: DecodingHints
  ) throws(BrokenLaw) -> InferenceRequest? {
    try require(
      InferenceRequest.decodingBytes(of: body[...], jsonByteCount: length, hints) >= 0,
      "memory needed is a count of bytes")
    do throws(TensorFormatError) {
      let behind = Array("{\"a\":".utf8) + body
      let parsed = try InferenceBody(behind[5...], jsonByteCount: length)
      return parsed.regions.isEmpty ? try parsed.request(shared: [], hints) : nil
    } catch {
      try require(
        error.byteOffset.map { (0...body.count).contains($0) } ?? true, "an error lies in the body: \(error)")
      return nil
    }
  }
}
