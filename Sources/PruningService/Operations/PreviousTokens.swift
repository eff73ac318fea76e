import JSON
import Parameters
import PruningNumerics
import Tensors
import TokenPruning
import VisionLayouts

/// The tokens that earlier requests left: `previous` {`kept_indices`, `tokens`}, or the tensor `already_dropped` [N], 1
/// for tokens that are gone.
struct PreviousTokens {
  /// How many are left.
  var count: Int { kept.count }
  /// N, where it was told.
  let tokenCount: Int?
  private let kept: [Int]
  private let name: String

  /// - Returns: nil where all tokens are there.
  init?(_ parameters: JSONObject, dropped: Tensor?) throws(PruningError) {
    guard let value = parameters["previous"] else {
      guard let dropped else { return nil }
      guard dropped.rank == 1 else {
        throw PruningError(at: "already_dropped", "shape must be [N], not \(dropped.shape)")
      }
      guard dropped.elementCount <= TokenLayout.maximumTokenCount else {
        throw PruningError(
          at: "already_dropped",
          "covers \(dropped.elementCount) tokens; at most \(TokenLayout.maximumTokenCount) are accepted")
      }
      let flags = try dropped.flags(
        named: "already_dropped", "a token that is gone; indices are sent as previous")
      kept = flags.indices.filter { !flags[$0] }
      tokenCount = flags.count
      name = "already_dropped"
      return
    }
    guard dropped == nil else {
      throw PruningError(at: "already_dropped", "is given together with previous; send only one of them")
    }
    guard let object = value.objectValue else {
      throw PruningError(at: "/previous", "must be an object with kept_indices, not \(value.kindWithArticle)")
    }
    let given = ParameterReading(object, at: "/previous")
    try given.refuseUnknown(besides: ["kept_indices", "tokens"], of: "previous")
    guard let list = object["kept_indices"]?.arrayValue else {
      throw PruningError(
        at: "/previous/kept_indices", "is missing; the kept_indices of the previous response are needed")
    }
    var indices: [Int] = []
    indices.reserveCapacity(list.count)
    for (place, element) in list.enumerated() {
      guard let index = element.integerValue, index > indices.last ?? -1 else {
        throw PruningError(
          at: "/previous/kept_indices/\(place)",
          "must be a whole number from 0, above the one before, not \(ParameterReading.found(element))")
      }
      indices.append(index)
    }
    kept = indices
    tokenCount = try given.integer("tokens", in: 0...TokenLayout.maximumTokenCount)
    name = "/previous/kept_indices"
  }

  /// The same, checked against the number of tokens there were.
  func indices(below count: Int) throws(PruningError) -> [Int] {
    if let tokenCount, tokenCount != count {
      throw PruningError(at: name, "covers \(tokenCount) tokens, but there were \(count)")
    }
    if let last = kept.last, last >= count {
      throw PruningError(at: name, "has the token \(last), but there were \(count)")
    }
    return kept
  }
}
