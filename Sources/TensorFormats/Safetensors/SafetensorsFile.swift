import JSON
public import Tensors

/// A safetensors file as it is: every tensor under its own name, and the strings of `__metadata__`.
///
/// What a request sends is read by ``SafetensorsFormat``, which takes `name.0`, `name.1` for a list; the tensors of a
/// network's weights have such names for other reasons.
public struct SafetensorsFile: Sendable {
  /// Slices of the bytes given; none is copied.
  public let tensors: [String: Tensor]
  public let metadata: [String: String]

  /// - Throws: wherever the bytes are not a safetensors file; whatever they are, it returns or throws.
  public init(_ bytes: ArraySlice<UInt8>) throws(TensorFormatError) {
    let header = try SafetensorsHeader(bytes)
    let data = bytes.dropFirst(8 + header.length)
    try header.checkCoverage(dataLength: data.count)
    var tensors: [String: Tensor] = [:]
    for entry in header.entries {
      let bytes = data[(data.startIndex + entry.begin)..<(data.startIndex + entry.end)]
      tensors[entry.name] = try .named(entry.name, entry.elementType, entry.shape, bytes)
    }
    self.tensors = tensors
    metadata = header.metadata.members.reduce(into: [:]) { $0[$1.name] = $1.value.stringValue }
  }
}
