import JSON
import Kernels
import PruningNumerics
import Tensors

/// ToMe merges the most similar pairs of tokens, step by step (bipartite soft matching).
///
/// A step splits the tokens into even and odd places; every even one proposes its most similar odd one by cosine,
/// and the r best proposals are merged: the size-weighted mean of the features, the sum of the sizes. The rows
/// are the unmerged even ones, best proposal first, then all odd ones.
/// - Complexity: O(N^2 D / 4) per step.
struct ToMe: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "tome",
    summary: "Merges the most similar pairs of tokens until the budget is met (bipartite soft matching).",
    paper: "Bolya et al., ICLR 2023, arXiv 2210.09461",
    requiredInputs: ["image_features"], optionalInputs: ["key", "sizes"],
    parameters: [
      .init(
        "steps", .integer(1...64), default: 1,
        "over how many steps the reduction is divided evenly, earlier ones taking what does not divide; a step"
          + " halves at most, so there are more where needed"),
      .init("class_token", .boolean, default: false, "whether token 0 is [CLS], which is never merged"),
    ],
    deviations: [
      "Tokens are compared by `key` (heads averaged) in the first step where it is given, else by their features;"
        + " later steps compare the merged features, because their keys come from layers that ran in between.",
      "A row's kept token is the one the others were merged into.",
      "On /prune, tokens that the region has kept already play no part.",
      "Equal similarities go by the lower place; the authors' code leaves their order to torch.argsort.",
    ],
    budget:
      "The rows that are left after merging; no token is dropped but with `class_token` and a"
      + " budget of 1.", properties: [.nested, .scaleInvariant],
    // Means in float64, beside the features, the keys and both once more to compare them.
    memory: MethodMemory(perElement: 40, perPair: 4),
    facts: MethodFacts(
      .diversity, isQuestionAware: false, cost: "O(N^2 D)",
      reported: [
        "twice the throughput of ViT-L at 512 pixels for 0.2 to 0.3 % of accuracy": "arXiv 2210.09461"
      ]))

  private let steps: Int
  private let hasClassToken: Bool

  init(_ parameters: Parameters) {
    steps = parameters.integer("steps")
    hasClassToken = parameters.boolean("class_token")
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    try run(task, input.features(), input).map(\.anchor)
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let features = try input.features()
    let merged = try run(SelectionTask(count: count, of: input), features, input)
    var assignments = [Int?](repeating: nil, count: input.tokenCount)
    for (row, cluster) in merged.enumerated() {
      for token in cluster.members { assignments[token] = row }
    }
    return MergedTokens(
      features: Self.means(of: merged, features), kept: merged.map(\.anchor),
      assignments: assignments, sizes: merged.map(\.size))
  }

  private struct Cluster {
    let anchor: Int
    var members: [Int]
    /// The mean of what was merged; nil for a token as it came.
    var mean: [Double]?
    var size: Int

    mutating func absorb(_ others: [Cluster], _ features: Matrix) {
      var sums = [Double](repeating: 0, count: features.columns)
      add(to: &sums, features)
      for other in others {
        other.add(to: &sums, features)
        members += other.members
        size += other.size
      }
      let divisor = Double(size)
      sums.withUnsafeMutableBufferPointer { sums in for column in sums.indices { sums[column] /= divisor } }
      mean = sums
    }

    private func add(to sums: inout [Double], _ features: Matrix) {
      guard let mean else { return features.add(anchor, times: Double(size), to: &sums) }
      let weight = Double(size)
      sums.withUnsafeMutableBufferPointer { sums in
        mean.withUnsafeBufferPointer { mean in
          for column in sums.indices { sums[column] += mean[column] * weight }
        }
      }
    }
  }

  private func run(
    _ task: SelectionTask, _ features: Matrix, _ input: PruningInput
  ) throws(PruningError) -> [Cluster] {
    let sizes = try Self.sizes(of: input)
    // Whoever wants nothing, or everything, merges nothing: no row is left for the others to go into.
    var clusters = task.candidates.map { Cluster(anchor: $0, members: [$0], mean: nil, size: sizes[$0]) }
    guard task.count > 0 else { return [] }
    var counter = StepCounter(limit: input.stepLimit)
    let reduction = clusters.count - task.count
    let keys = try input.keys(or: features)
    var space = CosineSpace(task.candidates.count == keys.rows ? keys : keys.gathered(task.candidates))
    var step = 0
    while clusters.count > task.count {
      let share = reduction / steps + (step < reduction % steps ? 1 : 0)
      let wanted = step < steps ? share : clusters.count - task.count
      let isProtected = hasClassToken && clusters[0].anchor == 0
      let possible = (clusters.count - (isProtected ? 1 : 0)) / 2
      if possible == 0 { break }
      step += 1
      let removed = min(wanted, possible)
      if removed == 0 { continue }
      clusters = try merged(clusters, removed, in: space, isProtected, features, input, &counter)
      if clusters.count > task.count { space = CosineSpace(Self.means(of: clusters, features)) }
    }
    // [CLS] and one token left, and one row wanted: the token is dropped.
    return Array(clusters.prefix(task.count))
  }

  /// The features of each cluster, rounded to float32.
  private static func means(of clusters: [Cluster], _ features: Matrix) -> Matrix {
    let columns = features.columns
    let values = [Float](unsafeUninitializedCapacity: clusters.count * columns) { target, count in
      count = clusters.count * columns
      LargeMemory.prepare(target)
      guard let base = target.baseAddress else { return }
      for (row, cluster) in clusters.enumerated() {
        let into = base + row * columns
        if let mean = cluster.mean {
          mean.withUnsafeBufferPointer { mean in
            for column in 0..<columns { (into + column).initialize(to: Float(mean[column])) }
          }
        } else {
          features.values.withUnsafeBufferPointer { values in
            guard let from = values.baseAddress else { return }
            into.initialize(from: from + cluster.anchor * columns, count: columns)
          }
        }
      }
    }
    return Matrix(rows: clusters.count, columns: columns, values: values)
  }

  private func merged(
    _ clusters: [Cluster], _ removed: Int, in space: CosineSpace, _ isProtected: Bool, _ features: Matrix,
    _ input: PruningInput, _ counter: inout StepCounter
  ) throws(PruningError) -> [Cluster] {
    let even = Array(stride(from: 0, to: clusters.count, by: 2))
    let odd = Array(stride(from: 1, to: clusters.count, by: 2))
    let first = isProtected ? 1 : 0
    let partner =
      Array(repeating: 0, count: first)
      + (try space.mostSimilar(
        to: Array(even.dropFirst(first)), among: odd, sharing: input.sharing, &counter))
    var similarity = [Double](repeating: -.infinity, count: even.count)
    for slot in first..<even.count {
      similarity[slot] = space.exactSimilarity(even[slot], odd[partner[slot]])
    }
    let order = Ranking.highest(even.count, of: similarity, among: Array(even.indices))
    var targets = odd.map { clusters[$0] }
    var absorbed = [[Cluster]](repeating: [], count: odd.count)
    for slot in order.prefix(removed) { absorbed[partner[slot]].append(clusters[even[slot]]) }
    for (target, others) in absorbed.enumerated() where !others.isEmpty {
      targets[target].absorb(others, features)
    }
    let rest = order.dropFirst(removed)
    return (isProtected ? rest.sorted() : Array(rest)).map { clusters[even[$0]] } + targets
  }

  /// How many tokens each token stands for already: `sizes` [N], 1 without it.
  private static func sizes(of input: PruningInput) throws(PruningError) -> [Int] {
    guard input.tensors["sizes"] != nil else { return Array(repeating: 1, count: input.tokenCount) }
    let sizes = try input.attentionScores(named: "sizes")
    guard sizes.allSatisfy({ $0 >= 1 && $0 <= 0x1p40 && $0 == $0.rounded() }) else {
      throw PruningError(at: "sizes", "must hold whole numbers of 1 or more, at most 2^40")
    }
    return sizes.map { Int($0) }
  }
}
