import JSON
import TensorFormats
import Tensors

/// Two-byte integers where floating-point numbers belong.
///
/// numpy has no bfloat16, so PyTorch's are often viewed as uint16 to be sent; read as integers they would be ranked by
/// their bit patterns. The parameter `tensor_dtype` says what they are: BF16, F16, or the integers they claim to be.
enum SixteenBits {
  static let choices: [ElementType] = [.bfloat16, .float16, .uint16, .int16]

  /// The tensors, such integers taken for what `tensor_dtype` says.
  ///
  /// - Throws: at a tensor that nothing is said of, or at `/tensor_dtype` where it fits no tensor.
  static func resolved(_ tensors: TensorBundle, _ parameters: JSONObject) throws(Problem) -> TensorBundle {
    let declared = try declared(parameters)
    var result = tensors
    var fits = declared == nil
    for name in tensors.names where !TensorAxes.integerNames.contains(name) {
      switch tensors[name] {
      case .one(let tensor):
        fits = fits || tensor.elementType == declared || isInteger(tensor)
        result[name] = .one(try resolved(tensor, declared, name))
      case .many(let list):
        fits = fits || list.contains { $0.elementType == declared || isInteger($0) }
        result[name] = .many(
          try list.map { (tensor) throws(Problem) in try resolved(tensor, declared, name) })
      case nil: break
      }
    }
    guard fits else {
      throw Problem(
        .invalidInput, "only applies to two-byte integers that are something else, but no tensor has any",
        pointer: "/tensor_dtype")
    }
    return result
  }

  /// Whether the elements themselves decide what they are taken for.
  static func dependsOnElements(_ tensors: TensorBundle, _ parameters: JSONObject) -> Bool {
    parameters["tensor_dtype"] == nil
      && tensors.entries.contains { name, entry in
        guard !TensorAxes.integerNames.contains(name) else { return false }
        return switch entry {
        case .one(let tensor): isInteger(tensor)
        case .many(let list): list.contains(where: isInteger)
        }
      }
  }

  /// Whether all are counts below 8,192: as bfloat16 they would be below 2^-63, which no score or feature is.
  private static func areSmall(_ tensor: Tensor) -> Bool {
    tensor.integers()?.allSatisfy { abs($0) < 0x2000 } ?? false
  }

  static func declared(_ parameters: JSONObject) throws(Problem) -> ElementType? {
    guard let value = parameters["tensor_dtype"] else { return nil }
    guard let type = value.stringValue.flatMap(ElementType.init(named:)) else {
      throw Problem(
        .invalidInput, "must be one of \(choices.map(\.rawValue).joined(separator: ", "))",
        pointer: "/tensor_dtype")
    }
    return type
  }

  private static func isInteger(_ tensor: Tensor) -> Bool {
    tensor.elementType == .uint16 || tensor.elementType == .int16
  }

  private static func resolved(
    _ tensor: Tensor, _ declared: ElementType?, _ name: String
  ) throws(Problem) -> Tensor {
    guard isInteger(tensor) else { return tensor }
    switch declared {
    case .bfloat16?, .float16?:
      guard let declared,
        let floats = try? Tensor(elementType: declared, shape: tensor.shape, bytes: tensor.bytes)
      else { preconditionFailure("elements of the same width") }
      return floats
    case tensor.elementType?: return tensor
    case nil where areSmall(tensor): return tensor
    default:
      throw Problem(
        .invalidInput,
        "has \(tensor.elementType.rawValue) elements of 8192 and more, which may be bfloat16 viewed as integers; send tensor_dtype "
          + "BF16, F16 or \(tensor.elementType.rawValue)",
        pointer: name)
    }
  }
}
