import JSON

/// Where the data of an input or an output lie in memory that client and server share (Triton,
/// docs/protocol/extension_shared_memory.md).
public struct InferenceRegion: Sendable, Equatable {
  /// As it was registered.
  public let name: String
  /// Within the region.
  public let offset: Int
  public let byteCount: Int
}

extension InferenceRegion {
  private static let names = ["shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"]

  /// Whether the parameter of an input or an output is about shared memory.
  static func describes(_ parameter: String) -> Bool { names.contains(parameter) }

  /// - Returns: nil where the parameters say nothing of shared memory.
  /// - Parameter start: of their tensor in the text, for errors.
  init?(_ parameters: JSONObject, at start: Int) throws(JSONError) {
    guard parameters.names.contains(where: Self.describes) else { return nil }
    let offset = parameters["shared_memory_offset"] ?? 0
    guard let name = parameters["shared_memory_region"]?.stringValue,
      let size = parameters["shared_memory_byte_size"]?.integerValue, size >= 0,
      let offset = offset.integerValue, offset >= 0
    else {
      throw JSONError(
        .content, offset: start, pointer: "/parameters",
        "shared memory is named by shared_memory_region, shared_memory_byte_size and, unless 0, shared_memory_offset"
      )
    }
    self.init(name: name, offset: offset, byteCount: size)
  }

  /// As parameters of an output that was written there.
  func parameters(writing count: Int) -> JSONObject {
    var parameters: JSONObject = [
      "shared_memory_region": .string(name), "shared_memory_byte_size": .integer(count),
    ]
    if offset > 0 { parameters["shared_memory_offset"] = .integer(offset) }
    return parameters
  }
}
