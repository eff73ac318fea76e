public import Tensors

/// The type of a tensor's elements as the Open Inference Protocol names it.
public enum InferenceDatatype: Sendable, Equatable {
  case numbers(ElementType)
  /// Byte strings, each behind its length.
  case bytes

  /// - Returns: nil for a name that the protocol does not have.
  public init?(_ name: String) {
    if name == Self.bytes.name {
      self = .bytes
    } else if let type = ElementType.allCases.first(where: { Self.numbers($0).name == name }) {
      self = .numbers(type)
    } else {
      return nil
    }
  }

  public var name: String {
    switch self {
    case .bytes: "BYTES"
    case .numbers(let type):
      switch type {
      case .float64: "FP64"
      case .float32: "FP32"
      case .float16: "FP16"
      case .bfloat16: "BF16"
      case .int64: "INT64"
      case .int32: "INT32"
      case .int16: "INT16"
      case .int8: "INT8"
      case .uint64: "UINT64"
      case .uint32: "UINT32"
      case .uint16: "UINT16"
      case .uint8: "UINT8"
      case .bool: "BOOL"
      }
    }
  }

  static let knownNames = (ElementType.allCases.map { Self.numbers($0).name } + [bytes.name]).joined(
    separator: ", ")
}
