public import PruningNumerics
public import Tensors

extension Tensor {
  /// Whether each element is set, row-major.
  ///
  /// Any other number than 0 and 1 is something else that was sent as flags, such as a list of indices.
  /// - Parameter meaning: what a 1 says of the place it stands at, for the error.
  /// - Throws: at `name` for an element that is neither 0 nor 1.
  public func flags(named name: String, _ meaning: String) throws(PruningError) -> [Bool] {
    let values = doubles()
    if let place = values.firstIndex(where: { $0 != 0 && $0 != 1 }) {
      throw PruningError(
        at: name, "is \(values[place]) at place \(place); flags are 0 or 1, and 1 is for \(meaning)")
    }
    return values.map { $0 == 1 }
  }
}
