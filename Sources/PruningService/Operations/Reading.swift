import TensorFormats
import Tensors

/// A request's tensors and what it says of their axes.
struct Reading {
  let entries: [(name: String, entry: TensorBundle.Entry)]
  /// Tensors whose axes the request names, and whether one counts images.
  let declared: [String: Bool]
  let isDeclaredBatched: Bool?

  /// How many images an entry says it holds, or nil when it says nothing of a batch.
  func count(of entry: TensorBundle.Entry, named name: String) -> Int? {
    guard let isBatched = declared[name], case .one(let tensor) = entry else {
      return TensorAxes.count(of: entry, named: name, isDeclaredBatched)
    }
    return isBatched ? tensor.shape[0] : nil
  }

  /// The number of images when the tensors form a batch.
  func count() throws(Problem) -> Int? {
    var found: (name: String, count: Int)?
    for (name, entry) in entries {
      if case .many = entry, isDeclaredBatched == false {
        throw Problem(.invalidInput, "is a list of tensors, but batched is false", pointer: name)
      }
      if isDeclaredBatched == false, declared[name] == true {
        throw Problem(.invalidInput, "has 'b', but batched is false", pointer: "/axes/\(name)")
      }
      guard let count = count(of: entry, named: name) else { continue }
      if let found, found.count != count {
        let hint = TensorAxes.of(name).mayBeShared ? "; one text for all images has the shape [D]" : ""
        throw Problem(
          .invalidInput, "holds \(count) images, but \(found.name) holds \(found.count)\(hint)", pointer: name
        )
      }
      found = found ?? (name, count)
    }
    if isDeclaredBatched == true, found == nil {
      throw Problem(
        .invalidInput,
        "is true, or implied by a list of layouts, but no tensor has an axis of images; give tensors one in front or a name for "
          + "each image ('attention.0', 'attention.1'), or send one layout for one image",
        pointer: "/batched")
    }
    return found?.count
  }

  /// Whether a tensor of a batch has a row per image, or is one for all of them.
  func hasBatchAxis(_ tensor: Tensor, named name: String, count: Int) throws(Problem) -> Bool {
    if self.count(of: .one(tensor), named: name) != nil { return true }
    let axes = TensorAxes.of(name)
    if axes.mayBeShared { return false }
    // [2, N] may be two heads of one image or one row for each of two: in a batch it is the latter.
    guard declared[name] == nil, tensor.rank > axes.ranks.lowerBound, tensor.shape[0] == count else {
      throw Problem(
        .invalidInput,
        "shape \(tensor.shape) has no leading axis of \(count) images, as the other tensors have",
        pointer: name)
    }
    return true
  }

  /// Whether the tensors leave no doubt that they are of one image: one of them has only the axes that it has for one.
  var isCertainlyOneImage: Bool {
    isDeclaredBatched == false
      || entries.contains { name, entry in
        guard case .one(let tensor) = entry, !TensorAxes.of(name).mayBeShared else { return false }
        return declared[name] == false
          || declared[name] == nil && tensor.rank == TensorAxes.of(name).ranks.lowerBound
      }
  }
}
