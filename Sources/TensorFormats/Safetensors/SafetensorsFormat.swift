public import JSON
public import Tensors

/// safetensors: a length, a JSON header, and the tensors' bytes without gaps.
///
/// Source: huggingface/safetensors, README and tensor.rs. Tensors are views of the body; no element is copied.
/// `__metadata__` holds strings only, so parameters travel in it as text, each under its own name or all as one JSON
/// object under `parameters`, and the response as JSON text.
public enum SafetensorsFormat: AnswerFormat {
  public static let name = "safetensors"
  public static let mediaTypes = [
    "application/x-safetensors", "application/vnd.safetensors", "application/safetensors",
  ]

  /// The reference implementation's limit.
  static let maximumHeaderLength = 100_000_000
  /// Of tensors, and of strings in `__metadata__`: then the names of a header take milliseconds to read.
  static let maximumNames = TensorLists.maximumNames

  public static func matches(_ prefix: ArraySlice<UInt8>) -> Bool {
    guard let length = headerLength(prefix), length <= maximumHeaderLength else { return false }
    return prefix.dropFirst(8).first == UInt8(ascii: "{")
  }

  public static func decode(
    _ body: ArraySlice<UInt8>, _ hints: DecodingHints
  ) throws(TensorFormatError) -> TensorDocument {
    let header = try SafetensorsHeader(body, isInterrupted: hints.isInterrupted)
    let tensors = try header.tensors(in: body)
    let (parameters, others) = try header.parameters(named: hints.parameterNames, hints.isInterrupted)
    return TensorDocument(
      tensors: try TensorLists.bundle(tensors), parameters: parameters, otherMetadata: others)
  }

  /// Tensors stay where they are; a header of many small members takes some twenty times its text.
  public static func decodingBytes(of body: ArraySlice<UInt8>, _ hints: DecodingHints) -> Int {
    20 * Int(min(headerLength(body) ?? 0, UInt64(body.count)))
  }

  static func headerLength(_ body: ArraySlice<UInt8>) -> UInt64? {
    guard body.count >= 8 else { return nil }
    return body.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Writes tensors in the reference writer's order: widest elements first, then by name, which keeps every
  /// tensor aligned; the header is padded so that the data start at a multiple of 8.
  public static func encode(
    _ tensors: [(name: String, tensor: Tensor)], response: JSONObject, isInterrupted: Interruption?
  ) throws(TensorFormatError) -> [UInt8] {
    let sorted = tensors.sorted { left, right in
      let widths = (left.tensor.elementType.byteWidth, right.tensor.elementType.byteWidth)
      return widths.0 == widths.1 ? left.name < right.name : widths.0 > widths.1
    }
    var header = JSONWriter()
    header.beginObject()
    header.name("__metadata__")
    header.beginObject()
    header.name("response")
    header.write(try JSONWriter.text(of: response, isInterrupted))
    header.endObject()
    var offset = 0
    var taken: Set = ["__metadata__"]
    for (name, tensor) in sorted {
      try isInterrupted.check()
      guard taken.insert(name).inserted else {
        throw TensorFormatError(.invalidContent, tensor: name, "the name '\(name)' is taken")
      }
      header.name(name)
      header.beginObject()
      header.name("dtype")
      header.write(tensor.elementType.rawValue)
      header.name("shape")
      header.write(tensor.shape.dimensions)
      header.name("data_offsets")
      header.write([offset, offset + tensor.bytes.count])
      header.endObject()
      offset += tensor.bytes.count
    }
    header.endObject()
    let padding = (8 - header.bytes.count % 8) % 8
    let length = header.bytes.count + padding
    var body: [UInt8] = []
    body.reserveCapacity(8 + length + offset)
    withUnsafeBytes(of: UInt64(length).littleEndian) { body.append(contentsOf: $0) }
    body.append(contentsOf: header.bytes)
    body.append(contentsOf: repeatElement(0x20, count: padding))
    for (_, tensor) in sorted {
      try isInterrupted.check()
      body.append(contentsOf: tensor.bytes)
    }
    return body
  }
}
