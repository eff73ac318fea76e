import JSON
import Tensors
import TokenPruning
import VisionLayouts

/// How a request's tensors were read: the members `read` and `warnings` of every answer.
struct Interpretation {
  let members: JSONObject

  /// - Parameters:
  ///   - samples: each image's tensors.
  ///   - tokenCounts: each image's N.
  ///   - inferred: each image's square grid, taken for want of a layout.
  ///   - parameters: the request's.
  init(
    _ samples: [[String: Tensor]], tokenCounts: [Int], inferred: [TokenLayout?], _ parameters: JSONObject
  ) {
    let isDeclared = parameters["batched"] != nil || parameters["axes"] != nil
    var read: JSONObject = ["images": .integer(samples.count)]
    if let first = tokenCounts.first {
      read["tokens"] =
        tokenCounts.allSatisfy { $0 == first } ? .integer(first) : .list(tokenCounts)
    }
    var warnings: [String] = []
    let sample = samples.first ?? [:]
    if let (name, tensor) = Self.attention(of: sample) {
      let heads = tensor.rank >= 2 ? tensor.shape[0] : 1
      let queries = tensor.rank == 3 ? tensor.shape[1] : 1
      read["heads"] = .integer(heads)
      read["queries"] = .integer(queries)
      warnings += Self.doubts(name, heads, queries, tensor, isOne: samples.count == 1 && !isDeclared)
    } else if let name = ["query", "key", "value_states"].first(where: { sample[$0] != nil }),
      let tensor = sample[name]
    {
      let heads = tensor.rank == TensorAxes.of(name).ranks.upperBound ? tensor.shape[0] : 1
      read["heads"] = .integer(heads)
      if heads > 1, samples.count == 1, !isDeclared {
        warnings.append(
          "\(name) \(tensor.shape) was read as \(heads) heads of one image; for \(heads) images send \"batched\": true"
        )
      }
    }
    read["layout"] = Self.layout(inferred)
    if let first = tokenCounts.first { warnings += Self.assumptions(sample, tokenCount: first, parameters) }
    if parameters["layout"] == nil, let first = tokenCounts.first,
      let sum = TokenLayout.gridAndOne(tokenCount: first)
    {
      warnings.append("\(sum): the first token looks like [CLS]; leave it out, or every index counts it")
    }
    var members: JSONObject = ["read": .object(read)]
    if !warnings.isEmpty { members["warnings"] = .list(warnings) }
    self.members = members
  }

  /// What was inferred, as a request would say it: one for all images, or a list with null for those that have none.
  private static func layout(_ inferred: [TokenLayout?]) -> JSONValue? {
    let sides = inferred.map { $0?.views.first?.rows }
    func grid(_ side: Int) -> JSONValue {
      ["type": "grid", "rows": .integer(side), "columns": .integer(side)]
    }
    guard let side = sides.lazy.compactMap(\.self).first else { return nil }
    return sides.allSatisfy { $0 == side } ? grid(side) : .array(sides.map { $0.map(grid) ?? .null })
  }

  /// The first tensor of scores, `attention` before all others.
  private static func attention(of sample: [String: Tensor]) -> (name: String, tensor: Tensor)? {
    if let tensor = sample["attention"] { return ("attention", tensor) }
    return sample.filter { TensorAxes.isAttention($0.key) }.min { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// Readings that are the usual ones, but not the only ones.
  private static func doubts(
    _ name: String, _ heads: Int, _ queries: Int, _ tensor: Tensor, isOne: Bool
  ) -> [String] {
    var doubts: [String] = []
    if isOne, tensor.rank == 2, (2...fewHeads).contains(heads) {
      doubts.append(
        "\(name) \(tensor.shape) was read as \(heads) heads of one image; for \(heads) images send \"batched\": true"
      )
    }
    if isOne, tensor.rank == 3, queries == 1, heads > 1 {
      doubts.append(
        "\(name) \(tensor.shape) was read as \(heads) heads of one query; for \(heads) images send \"batched\": true"
      )
    }
    if isOne, heads == 1, queries > AmbiguousReading.mostHeads, queries != tensor.shape[2] {
      doubts.append(
        "\(name) was read as \(queries) queries of one head, because no model has that many heads; features are sent as "
          + "image_features")
    }
    if queries > 1, queries == tensor.shape[2] {
      doubts.append(
        "\(name) has as many queries as tokens, so it looks like a whole attention map; methods that need one row, such "
          + "as that of [CLS], read the mean or the last row")
    }
    return doubts
  }

  /// Defaults that fit few models: where the image begins in a whole sequence, and the heads of a layer's weights.
  private static func assumptions(
    _ sample: [String: Tensor], tokenCount: Int, _ parameters: JSONObject
  ) -> [String] {
    guard let method = parameters["method"]?.stringValue.flatMap(MethodRegistry.standard.descriptor(named:))
    else {
      return []
    }
    let given = parameters["method_parameters"]?.objectValue ?? [:]
    func assumed(_ name: String) -> JSONValue? {
      given[name] == nil ? method.parameters.first { $0.name == name }?.defaultValue : nil
    }
    var assumptions: [String] = []
    for name in ["hidden_states", "value_states"]
    where method.optionalInputs.contains(name) || method.requiredInputs.contains(name) {
      guard let tensor = sample[name], tensor.rank >= 2, let start = assumed("image_start") else { continue }
      let rows = tensor.shape[tensor.rank - 2]
      guard rows > tokenCount else { continue }
      assumptions.append(
        "\(name) has \(rows) rows, and the image is taken to begin at row \(start); method_parameters.image_start says where it does"
      )
    }
    if let tensor = sample["query_weight"], tensor.rank == 2, let heads = assumed("heads") {
      assumptions.append(
        "query_weight \(tensor.shape) is taken to have \(heads) heads; method_parameters.heads says how many it has"
      )
    }
    return assumptions
  }

  /// Vision encoders and language models have more.
  private static let fewHeads = 4
}
