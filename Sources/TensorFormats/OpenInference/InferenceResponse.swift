public import JSON
public import Tensors

/// A response of the Open Inference Protocol: JSON, and binary data behind it where the request wants that.
public struct InferenceResponse: Sendable {
  public let body: [UInt8]
  /// For `Inference-Header-Content-Length`; nil where nothing follows the JSON.
  public let jsonByteCount: Int?
  /// What is to be written to shared memory before the response is sent.
  public let shared: [(region: InferenceRegion, bytes: ArraySlice<UInt8>)]

  /// The output that holds what has no tensor of its own, as the text of a JSON object.
  public static let textOutput = "response"

  /// Writes an answer: tensors by name, the rest as the output ``textOutput``.
  ///
  /// The images of a batch, `name.0`, `name.1` and so on, become one tensor with a leading axis; where they differ in
  /// length, shorter ones are filled up with -1 (whole numbers) or 0, and their true lengths are those in the text.
  /// - Parameter isInterrupted: asked between images and every few thousand numbers.
  /// - Throws: for an output that this answer does not have, and for numbers that JSON cannot express; `.interrupted`.
  public init(
    to request: InferenceRequest, model: String, version: String, _ tensors: [(name: String, tensor: Tensor)],
    response: JSONObject, isInterrupted: Interruption? = nil
  ) throws(TensorFormatError) {
    let available = try Self.outputs(tensors, response, isInterrupted)
    var header = JSONWriter()
    header.beginObject()
    header.name("model_name")
    header.write(model)
    header.name("model_version")
    header.write(version)
    if let id = request.id {
      header.name("id")
      header.write(id)
    }
    header.name("outputs")
    header.beginArray()
    var binary: [ArraySlice<UInt8>] = []
    var shared: [(region: InferenceRegion, bytes: ArraySlice<UInt8>)] = []
    for (output, isBinary, region) in try Self.chosen(available, request, model) {
      output.writeHead(to: &header)
      if let region {
        let bytes = output.bytes
        guard bytes.count <= region.byteCount else {
          throw TensorFormatError(
            .invalidContent,
            "the output '\(output.name)' takes \(bytes.count) bytes, but shared_memory_byte_size is \(region.byteCount)"
          )
        }
        header.name("parameters")
        header.write(region.parameters(writing: bytes.count))
        shared.append((region, bytes))
      } else if isBinary {
        let bytes = output.bytes
        header.name("parameters")
        header.write(["binary_data_size": .integer(bytes.count)] as JSONObject)
        binary.append(bytes)
      } else {
        header.name("data")
        try output.writeData(to: &header, isInterrupted)
      }
      header.endObject()
    }
    header.endArray()
    header.endObject()
    self.shared = shared
    jsonByteCount = binary.isEmpty ? nil : header.bytes.count
    var body = header.bytes
    body.reserveCapacity(body.count + binary.reduce(0) { $0 + $1.count })
    for bytes in binary {
      try isInterrupted.check()
      body.append(contentsOf: bytes)
    }
    self.body = body
  }

  /// How many bytes the tensors of a batch take once shorter images are filled up; 0 where there is no batch.
  ///
  /// A few images of one token beside a long one make a tensor far larger than all of theirs.
  public static func stackedByteCount(_ tensors: [(name: String, tensor: Tensor)]) -> Int {
    var lists: [String: (count: Int, longest: Int)] = [:]
    for (name, tensor) in tensors {
      guard let list = TensorLists.listIndex(name)?.list else { continue }
      let known = lists[list, default: (0, 0)]
      lists[list] = (known.count + 1, max(known.longest, tensor.bytes.count))
    }
    return lists.values.reduce(0) { $0 &+ $1.count &* $1.longest }
  }

  private static func outputs(
    _ tensors: [(name: String, tensor: Tensor)], _ response: JSONObject, _ isInterrupted: Interruption?
  ) throws(TensorFormatError) -> [InferenceOutput] {
    var outputs: [InferenceOutput] = []
    for (name, entry) in try TensorLists.ordered(tensors) {
      let tensor =
        switch entry {
        case .one(let tensor): tensor
        case .many(let list): try stacked(list, name, isInterrupted)
        }
      outputs.append(InferenceOutput(name: name, content: .tensor(tensor)))
    }
    let text = try JSONWriter.text(of: response, isInterrupted)
    return outputs + [InferenceOutput(name: textOutput, content: .text(text))]
  }

  private static func chosen(
    _ available: [InferenceOutput], _ request: InferenceRequest, _ model: String
  ) throws(TensorFormatError) -> [(InferenceOutput, isBinary: Bool, InferenceRegion?)] {
    guard let wanted = request.outputs else { return available.map { ($0, request.wantsBinaryData, nil) } }
    var chosen: [(InferenceOutput, isBinary: Bool, InferenceRegion?)] = []
    for want in wanted {
      guard let output = available.first(where: { $0.name == want.name }) else {
        throw TensorFormatError(
          .invalidContent,
          "unexpected inference output '\(want.name.excerpt)' for model '\(model)'; here it has "
            + available.map(\.name).joined(separator: ", "))
      }
      guard !chosen.contains(where: { $0.0.name == want.name }) else {
        throw TensorFormatError(.invalidContent, "the output '\(want.name)' is requested twice")
      }
      chosen.append((output, want.isBinary ?? request.wantsBinaryData, want.region))
    }
    return chosen
  }

  /// Tensors of one rank and type as one with an axis more in front, as long as the longest on each axis.
  private static func stacked(
    _ list: [Tensor], _ name: String, _ isInterrupted: Interruption?
  ) throws(TensorFormatError) -> Tensor {
    guard let first = list.first,
      list.allSatisfy({
        $0.elementType == first.elementType && $0.rank == first.rank
          && $0.shape.dimensions.dropFirst() == first.shape.dimensions.dropFirst()
      })
    else {
      throw TensorFormatError(
        .invalidContent, tensor: name,
        "the images' tensors differ in more than their length; send one image per request")
    }
    let longest = list.map { $0.rank == 0 ? 1 : $0.shape[0] }.max() ?? 0
    let dimensions = [list.count] + (first.rank == 0 ? [] : [longest] + first.shape.dimensions.dropFirst())
    let shape = try Shape.named(name, dimensions)
    let byteCount = shape.elementCount * first.elementType.byteWidth
    // All bits of a whole number set are -1.
    let filler: UInt8 = first.elementType.isFloatingPoint || first.elementType == .bool ? 0 : 0xff
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount)
    for (index, tensor) in list.enumerated() {
      try isInterrupted.check()
      bytes.append(contentsOf: tensor.bytes)
      bytes.append(
        contentsOf: repeatElement(filler, count: byteCount / list.count * (index + 1) - bytes.count))
    }
    return try Tensor.named(name, first.elementType, shape, bytes[...])
  }
}

/// One output, before it is written.
private struct InferenceOutput {
  enum Content {
    case tensor(Tensor)
    /// BYTES of one element.
    case text(String)
  }

  let name: String
  let content: Content

  /// As binary data: BYTES have their length in front.
  var bytes: ArraySlice<UInt8> {
    switch content {
    case .tensor(let tensor): return tensor.bytes
    case .text(let text):
      let length = UInt32(clamping: text.utf8.count)
      return ((0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(text.utf8))[...]
    }
  }

  /// Begins the output's object and writes all but its data.
  func writeHead(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.name("name")
    writer.write(name)
    writer.name("datatype")
    switch content {
    case .tensor(let tensor):
      writer.write(InferenceDatatype.numbers(tensor.elementType).name)
      writer.name("shape")
      writer.write(tensor.shape.dimensions)
    case .text:
      writer.write(InferenceDatatype.bytes.name)
      writer.name("shape")
      writer.write([1])
    }
  }

  func writeData(
    to writer: inout JSONWriter, _ isInterrupted: Interruption?
  ) throws(TensorFormatError) {
    switch content {
    case .text(let text):
      writer.beginArray()
      writer.write(text)
      writer.endArray()
    case .tensor(let tensor):
      if let index = tensor.firstNonFiniteIndex() {
        throw TensorFormatError(
          .invalidContent, tensor: name,
          "element \(index) is not finite, which JSON cannot express; request binary data")
      }
      try writer.writeFlat(tensor, isInterrupted)
    }
  }
}
