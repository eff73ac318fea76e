import Kernels
import PruningNumerics

/// What a method makes of all tokens: a row for every kept one, and the rows it forms from the others.
struct MergedTokens: Sendable, Equatable {
  /// [R, D]; the first `kept.count` rows are those of kept tokens.
  let features: Matrix
  /// The kept tokens in the order of their rows.
  let kept: [Int]
  /// The row each token went into [N]; nil where it is dropped.
  let assignments: [Int?]
  /// How many tokens each row stands for [R].
  let sizes: [Int]

  /// Sizes are counted from the assignments.
  init(features: Matrix, kept: [Int], assignments: [Int?]) {
    var sizes = [Int](repeating: 0, count: features.rows)
    for case let row? in assignments { sizes[row] += 1 }
    self.init(features: features, kept: kept, assignments: assignments, sizes: sizes)
  }

  /// - Precondition: kept.count <= features.rows == sizes.count; assignments lie in 0..<features.rows.
  init(features: Matrix, kept: [Int], assignments: [Int?], sizes: [Int]) {
    precondition(kept.count <= features.rows && sizes.count == features.rows)
    self.features = features
    self.kept = kept
    self.assignments = assignments
    self.sizes = sizes
  }

  /// The kept tokens' features as they are; all other tokens are dropped.
  static func gathered(_ kept: [Int], of features: Matrix) -> MergedTokens {
    MergedTokens(
      features: features.gathered(kept), kept: kept, assignments: ownRows(kept, tokenCount: features.rows),
      sizes: Array(repeating: 1, count: kept.count))
  }

  /// Every other token joins the one of `targets`, all of them kept, with the largest cosine, the first of equals; without
  /// targets it is dropped. A row is the mean of its tokens.
  static func joined(
    _ kept: [Int], to targets: [Int], of features: Matrix, sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) -> MergedTokens {
    var assignments = ownRows(kept, tokenCount: features.rows)
    let dropped = assignments.indices.filter { assignments[$0] == nil }
    guard !targets.isEmpty, !dropped.isEmpty else { return gathered(kept, of: features) }
    let nearest = try CosineSpace(features).mostSimilar(to: dropped, among: targets, sharing: sharing, &steps)
    var members = [[Int]](repeating: [], count: kept.count)
    for (token, target) in zip(dropped, nearest) {
      guard let row = assignments[targets[target]] else { preconditionFailure("a target is kept") }
      members[row].append(token)
      assignments[token] = row
    }
    return MergedTokens(
      features: features.meanRows(kept, with: members), kept: kept, assignments: assignments)
  }

  /// Kept tokens in their own rows, all others nowhere.
  static func ownRows(_ kept: [Int], tokenCount: Int) -> [Int?] {
    var assignments = [Int?](repeating: nil, count: tokenCount)
    for (row, token) in kept.enumerated() { assignments[token] = row }
    return assignments
  }
}
