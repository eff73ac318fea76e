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
    tensors = try header.tensors(in: bytes).reduce(into: [:]) { $0[$1.name] = $1.tensor }
    metadata = header.metadata.members.reduce(into: [:]) { $0[$1.name] = $1.value.stringValue }
  }
}
