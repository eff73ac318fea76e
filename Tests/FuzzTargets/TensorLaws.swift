import JSON
import TensorFormats
import Tensors

/// What holds for every document a tensor format read.
enum TensorLaws {
  static func decode(
    _ format: any TensorFormat.Type, _ body: [UInt8], _ hints: DecodingHints
  ) throws(BrokenLaw) -> TensorDocument? {
    do throws(TensorFormatError) {
      // Not at the start of its array, so that nothing is aligned and no offset is right by chance.
      return try format.decode(tail(body, behind: "{\"a\":"), hints)
    } catch {
      try require(
        error.byteOffset.map { (0...body.count).contains($0) } ?? true, "an error lies in the body: \(error)")
      return nil
    }
  }

  /// The tensors as an answer lists them: a list as `name.0`, `name.1`...
  static func list(_ bundle: TensorBundle) -> [(name: String, tensor: Tensor)] {
    bundle.names.flatMap { name -> [(name: String, tensor: Tensor)] in
      switch bundle[name] {
      case .one(let tensor): [(name, tensor)]
      case .many(let tensors): tensors.enumerated().map { ("\(name).\($0.offset)", $0.element) }
      case nil: []
      }
    }
  }

  /// Every way to read the elements agrees with every other.
  static func checkNumbers(_ tensor: Tensor) throws(BrokenLaw) {
    try require(
      tensor.bytes.count == tensor.elementCount * tensor.elementType.byteWidth, "bytes fit the shape")
    let floats = tensor.floats().map(\.bitPattern)
    try require(floats.count == tensor.elementCount, "one number per element")
    try require(
      tensor.withFloats { view in view.indices.map { view[$0].bitPattern } } == floats,
      "a view shows the same")
    let doubles = tensor.doubles()
    switch tensor.elementType {
    // 64-bit integers are rounded once on the way to float32, twice by way of float64.
    case .int64, .uint64: break
    default:
      try require(
        zip(doubles, floats).allSatisfy { $0.isNaN || Float($0).bitPattern == $1 }, "float64 says the same")
    }
    if let integers = tensor.integers() {
      try require(zip(integers, doubles).allSatisfy { Double($0) == $1 }, "whole numbers are the same")
    }
    let nonFinite = floats.firstIndex { Float(bitPattern: $0).isFinite == false }
    try require(tensor.firstNonFiniteIndex() == nonFinite, "the first element that is not finite is found")
  }

  /// Bit for bit, but for BOOL, where every byte but 0 says true and is written as 1.
  static func same(_ a: Tensor?, _ b: Tensor) -> Bool {
    guard let a, a.elementType == b.elementType, a.shape == b.shape else { return false }
    return b.elementType == .bool ? a.floats() == b.floats() : a.bytes.elementsEqual(b.bytes)
  }
}

extension TensorBundle {
  func tensor(_ name: String) -> Tensor? { if case .one(let tensor) = self[name] { tensor } else { nil } }
}
