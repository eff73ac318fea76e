/// The element types a tensor may carry, named as safetensors names them.
public enum ElementType: String, Sendable, Hashable, CaseIterable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint64 = "U64"
  case uint32 = "U32"
  case uint16 = "U16"
  case uint8 = "U8"
  case bool = "BOOL"

  public var byteWidth: Int {
    switch self {
    case .float64, .int64, .uint64: 8
    case .float32, .int32, .uint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .int8, .uint8, .bool: 1
    }
  }

  public var isFloatingPoint: Bool {
    switch self {
    case .float64, .float32, .float16, .bfloat16: true
    default: false
    }
  }
}

extension ElementType {
  /// The type of a name as safetensors (`BF16`), numpy (`float32`, `<f4`), PyTorch (`torch.bfloat16`) or the Open
  /// Inference Protocol (`FP32`) writes it.
  ///
  /// numpy's codes need their byte order: `i8` alone is eight bytes to numpy and would be eight bits to safetensors.
  public init?(named text: String) {
    guard text.utf8.count <= 32 else { return nil }
    if let type = Self(rawValue: text) ?? Self.numpyCodes[text] {
      self = type
      return
    }
    var name = text.lowercased()
    let isTorch = name.hasPrefix("torch.")
    if let prefix = ["torch.", "numpy.", "np."].first(where: { name.hasPrefix($0) }) {
      name.removeFirst(prefix.utf8.count)
    }
    // Python's and numpy's own `float` has 64 bits, PyTorch's 32: the bare word could be either.
    guard let type = Self.words[name] ?? (isTorch && name == "float" ? .float32 : nil) else { return nil }
    self = type
  }

  public static let knownNames = allCases.map(\.rawValue).joined(separator: ", ")

  private static let words: [String: ElementType] = [
    "float64": .float64, "double": .float64, "fp64": .float64,
    "float32": .float32, "single": .float32, "fp32": .float32,
    "float16": .float16, "half": .float16, "fp16": .float16,
    "bfloat16": .bfloat16, "bf16": .bfloat16,
    "int64": .int64, "long": .int64, "int32": .int32, "int16": .int16, "short": .int16, "int8": .int8,
    "uint64": .uint64, "uint32": .uint32, "uint16": .uint16, "uint8": .uint8, "bool": .bool, "bool_": .bool,
  ]

  private static let numpyCodes: [String: ElementType] = [
    "<f8": .float64, "<f4": .float32, "<f2": .float16, "<i8": .int64, "<i4": .int32, "<i2": .int16,
    "|i1": .int8, "<u8": .uint64, "<u4": .uint32, "<u2": .uint16, "|u1": .uint8, "|b1": .bool,
  ]
}
