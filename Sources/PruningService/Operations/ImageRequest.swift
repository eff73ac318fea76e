import JSON
import Tensors
import TokenPruning

/// One image of a request: its tensors, validated against each other, and its share of the parameters.
struct ImageRequest {
  let input: PruningInput
  /// All parameters; `layout` and `region` are this image's.
  let parameters: JSONObject

  /// - Parameter batchCount: the number of images of a batch, or nil when the request is about one image.
  init(
    tensors: [String: Tensor], parameters: JSONObject, index: Int, batchCount: Int?
  ) throws(PruningError) {
    var own = parameters
    if let batchCount {
      for name in ["layout", "region"] {
        guard case .array(let list) = parameters[name] else { continue }
        guard list.count == batchCount else {
          throw PruningError(
            at: "/\(name)",
            "a list for a batch has one entry per image: expected \(batchCount), found \(list.count)")
        }
        own[name] = list[index] == .null ? nil : list[index]
      }
    }
    let counted = try Self.tokenCount(of: tensors)
    let layout: TokenLayout? =
      if let json = own["layout"] {
        try TokenLayout(json, tokenCount: counted?.count)
      } else {
        counted.flatMap { TokenLayout.inferred(tokenCount: $0.count) }
      }
    guard let tokenCount = counted?.count ?? layout?.tokenCount else {
      throw PruningError(
        at: "/layout", "nothing tells the number of visual tokens; send a tensor or a layout")
    }
    self.parameters = own
    input = PruningInput(
      tokenCount: tokenCount, tensors: tensors, layout: layout, seed: try Self.seed(own))
  }

  /// N as the tensors tell it; they must agree.
  private static func tokenCount(of tensors: [String: Tensor]) throws(PruningError) -> (
    name: String, count: Int
  )? {
    var found: (name: String, count: Int)?
    for name in tensors.keys.sorted() {
      guard let tensor = tensors[name], let count = Self.tokenCount(of: tensor, named: name) else { continue }
      if let found, found.count != count {
        throw PruningError(
          at: name,
          "shape \(tensor.shape) is about \(count) tokens, but \(found.name) is about \(found.count)")
      }
      found = found ?? (name, count)
    }
    return found
  }

  private static func tokenCount(of tensor: Tensor, named name: String) -> Int? {
    switch name {
    case "image_features", "relevance_features": tensor.rank == 2 ? tensor.shape[0] : nil
    case "attention", "reference_attention", "position_ids": tensor.shape.dimensions.last
    case "key": tensor.rank >= 2 ? tensor.shape[tensor.rank - 2] : nil
    // Text and queries have no token axis; a stage's attention may be as short as the stage before left it.
    default: nil
    }
  }

  private static func seed(_ parameters: JSONObject) throws(PruningError) -> UInt64 {
    guard let value = parameters["seed"] else { return 0 }
    guard let number = value.integerValue, number >= 0 else {
      throw PruningError(at: "/seed", "must be a whole number that is not negative")
    }
    return UInt64(number)
  }

  /// The contextual region: given by the caller, else found in the tensors.
  func localization() throws(PruningError) -> Localization {
    if let region = parameters["region"] {
      guard parameters["localize"] == nil else {
        throw PruningError(
          at: "/localize", "a region is given, so there is nothing to localize; send one of both")
      }
      guard let layout = input.layout else {
        throw PruningError(
          at: "/layout", "is needed to tell which of \(input.tokenCount) tokens lie in the region")
      }
      return Localization(try RegionSpecification(region, layout: layout), layout: layout)
    }
    let options: JSONObject?
    switch parameters["localize"] {
    case .object(let object): options = object
    case nil, .bool(true): options = nil
    case let other?:
      throw PruningError(at: "/localize", "must be an object, not a \(other.kind)")
    }
    return try localize(input, try LocalizationOptions(options))
  }
}
