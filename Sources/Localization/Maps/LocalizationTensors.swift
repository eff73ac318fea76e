import PruningNumerics
import Tensors

/// Reads the tensors of a request for localization.
enum LocalizationTensors {
  /// The named tensor, present and finite.
  ///
  /// - Throws: at the tensor's name when it is missing or holds NaN, an infinity or an integer that float64 does not hold
  ///   (with the element index).
  static func finite(_ name: String, in tensors: [String: Tensor]) throws(PruningError) -> Tensor {
    let tensor = try present(name, in: tensors)
    if let index = tensor.firstNonFiniteIndex() {
      throw PruningError(
        at: name, "element \(index) (row-major) is NaN or infinite; every element must be finite")
    }
    if let index = tensor.firstInexactIndex() {
      throw PruningError(
        at: name,
        "element \(index) (row-major) is beyond 2^53; larger integers are no exact numbers")
    }
    return tensor
  }

  static func present(_ name: String, in tensors: [String: Tensor]) throws(PruningError) -> Tensor {
    guard let tensor = tensors[name] else { throw PruningError(at: name, "is missing") }
    return tensor
  }

  /// The complaint about a shape: what was expected and what was found.
  static func wrongShape(_ name: String, expected: String, _ shape: Shape) -> PruningError {
    PruningError(at: name, "must have shape \(expected), not \(shape)")
  }
}
