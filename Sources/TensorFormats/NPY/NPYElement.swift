import Tensors

/// What an npy `descr` such as `<f4` says about one element.
struct NPYElement {
  let type: ElementType
  let isBigEndian: Bool

  /// - Parameter declared: the type the request names outside the body; it decides what `V2` means, and
  ///   must not contradict any other `descr`.
  init(_ descriptor: String, _ declared: ElementType?, tensor: String) throws(TensorFormatError) {
    func unsupported(_ message: String) -> TensorFormatError {
      TensorFormatError(.unsupported, tensor: tensor, message)
    }
    let order = descriptor.first
    let code = String(descriptor.dropFirst())
    if code == "V2", order == "<" || order == "|" {
      guard declared == .bfloat16 else {
        throw unsupported("'\(descriptor)' is two opaque bytes; send tensor_dtype=BF16 if they are bfloat16")
      }
      self.type = .bfloat16
      self.isBigEndian = false
      return
    }
    if code.first == "O" {
      throw unsupported(
        "'\(descriptor)' holds Python objects as pickle, which is never read; save a numeric array")
    }
    guard let type = Self.codes.first(where: { $0.code == code })?.type,
      order == "<" || order == ">" || (order == "|" && type.byteWidth == 1)
    else {
      throw unsupported("dtype '\(descriptor)' is not supported; use f2, f4, f8, i1 to i8, u1 to u8 or b1")
    }
    // numpy has no bfloat16, so its patterns are often stored as integers of the same width.
    if type == .uint16 || type == .int16, let declared, declared == .bfloat16 || declared == .float16 {
      self.type = declared
      self.isBigEndian = order == ">"
      return
    }
    guard declared == nil || declared == type else {
      throw TensorFormatError(
        .invalidContent, tensor: tensor,
        "the array is \(type.rawValue), but the request says \(declared?.rawValue ?? "")")
    }
    self.type = type
    self.isBigEndian = order == ">" && type.byteWidth > 1
  }

  /// - Precondition: `type` is not BF16, which numpy lacks.
  static func descriptor(of type: ElementType) -> String {
    guard let code = codes.first(where: { $0.type == type })?.code else {
      preconditionFailure("npy cannot express \(type)")
    }
    return (type.byteWidth == 1 ? "|" : "<") + code
  }

  private static let codes: [(code: String, type: ElementType)] = [
    ("f8", .float64), ("f4", .float32), ("f2", .float16), ("i8", .int64), ("i4", .int32), ("i2", .int16),
    ("i1", .int8), ("u8", .uint64), ("u4", .uint32), ("u2", .uint16), ("u1", .uint8), ("b1", .bool),
  ]
}
