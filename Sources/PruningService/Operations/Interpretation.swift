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
  ///   - hasLayout: whether the request says where tokens lie.
  ///   - inferred: each image's square grid, taken for want of a layout.
  init(
    _ samples: [[String: Tensor]], tokenCounts: [Int], hasLayout: Bool, inferred: [TokenLayout?],
    isDeclared: Bool
  ) {
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
    if !hasLayout, let first = tokenCounts.first, let sum = TokenLayout.gridAndOne(tokenCount: first) {
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

  /// Vision encoders and language models have more.
  private static let fewHeads = 4
}
