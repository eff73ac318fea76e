import JSON
import Kernels
import PruningNumerics

/// ApET reconstructs every token from a few basis tokens, keeps those that cannot be, and merges the rest into them.
///
/// Basis: farthest-point sampling by squared Euclidean distance from a start token. Error e_i = |x_i - W_i B|, with
/// (B B^T + 1e-5) W^T = B X^T. Kept: the basis and the tokens with the largest errors. On /compress every dropped token
/// joins the kept token of largest cosine, basis tokens left out, whose row is the mean of all that joined it and itself.
struct ApET: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "apet",
    summary: "Keeps a few basis tokens and those that they reconstruct worst; merges the others into these.",
    paper: "Ma et al., CVPR 2026, arXiv 2602.19870",
    requiredInputs: ["image_features"],
    parameters: [
      .init("basis_tokens", .integer(1...256), default: 10, "k, how many tokens form the basis"),
      .init(
        "start_token", .integer(0...(1 << 20)), default: 0,
        "the first basis token, in each image; taken modulo N"),
      .init(
        "faithful", .boolean, default: false,
        "whether the K tokens with the largest errors are kept and the basis rows take the places of the last k of them,"
          + " as in the authors' code"),
    ],
    deviations: [
      "The authors' first basis token is drawn at random without a seed; here it is `start_token`.",
      "Basis tokens keep their own places. In the authors' code the k places with the lowest errors among K are given up"
        + " for the basis rows, in sampling order, and basis tokens also merge into others (`faithful`).",
      "For K <= k the first K basis tokens are kept; the authors' code fails there, so `faithful` is rejected.",
      "Rows are computed in float64 and returned as `dtype`; the authors' code rounds to half precision first.",
      "With a region only the candidates are sampled and reconstructed.",
    ], properties: [], memory: MethodMemory(perElement: 8),
    facts: MethodFacts(
      .diversity, isQuestionAware: false, cost: "O(N k D), O(N K D) to merge",
      reported: ["95.2 % of LLaVA-1.5 with 88.9 % of the tokens merged away": "arXiv 2602.19870"]))

  private let basisCount: Int
  private let start: Int
  private let isFaithful: Bool

  init(_ parameters: Parameters) {
    basisCount = parameters.integer("basis_tokens")
    start = parameters.integer("start_token")
    isFaithful = parameters.boolean("faithful")
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let features = try input.features()
    var steps = StepCounter(limit: input.stepLimit, work: "reconstructing these tokens")
    return try choose(task, features, &steps).kept
  }

  private struct Choice {
    /// Basis tokens in sampling order.
    var basis: [Int] = []
    /// Tokens that others merge into, by descending error.
    var targets: [Int] = []
    /// The places whose rows are overwritten by the basis, ascending; `faithful` only.
    var slots: [Int] = []

    var kept: [Int] { slots.isEmpty ? basis + targets : targets + slots }
  }

  private func choose(
    _ task: SelectionTask, _ features: Matrix, _ steps: inout StepCounter
  ) throws(PruningError) -> Choice {
    let tokens = task.candidates
    let count = task.count
    guard count > 0 else { return Choice() }
    let size = min(basisCount, tokens.count)
    guard !isFaithful || (size == basisCount && (count > size || count == tokens.count && count >= size))
    else {
      throw PruningError(
        at: "/method_parameters/faithful",
        "the authors' code fails where \(count) of \(tokens.count) tokens are kept and \(basisCount) form the basis; keep"
          + " more, or let fewer form the basis")
    }
    let basis = try sampled(isFaithful ? size : min(size, count), of: tokens, features, &steps)
    if !isFaithful, count <= basis.count { return Choice(basis: basis) }
    let errors = try Self.errors(of: tokens, basis, features, &steps)
    var byToken = [Double](repeating: 0, count: features.rows)
    for (token, error) in zip(tokens, errors) { byToken[token] = error }
    guard isFaithful else {
      let isBasis = Set(basis)
      let others = tokens.filter { !isBasis.contains($0) }
      return Choice(basis: basis, targets: Ranking.highest(count - basis.count, of: byToken, among: others))
    }
    let order = Ranking.highest(count, of: byToken, among: tokens)
    return Choice(basis: basis, targets: Array(order.dropLast(size)), slots: order.suffix(size).sorted())
  }

  /// Farthest-point sampling; the first of equally far ones.
  private func sampled(
    _ count: Int, of tokens: [Int], _ features: Matrix, _ steps: inout StepCounter
  ) throws(PruningError) -> [Int] {
    var distances = [Double](repeating: .infinity, count: tokens.count)
    var chosen: [Int] = []
    var isChosen = [Bool](repeating: false, count: tokens.count)
    var next = start % tokens.count
    while true {
      chosen.append(tokens[next])
      isChosen[next] = true
      if chosen.count == count { return chosen }
      try steps.spend(tokens.count * (10 + features.columns))
      let point = features.row(tokens[next]).map { Double($0) }
      for (slot, token) in tokens.enumerated() {
        distances[slot] = min(distances[slot], features.squaredDistance(of: token, to: point))
      }
      // Copies of chosen tokens lie as near as these.
      var best: Int?
      for slot in tokens.indices where !isChosen[slot] {
        if best.map({ distances[slot] > distances[$0] }) ?? true { best = slot }
      }
      guard let best else { return chosen }
      next = best
    }
  }

  /// How far each token lies from its reconstruction by the basis.
  static func errors(
    of tokens: [Int], _ basis: [Int], _ features: Matrix, _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    let count = basis.count
    var gram = [Double](repeating: 0, count: count * count)
    for row in 0..<count {
      try steps.spend(count * (10 + features.columns + count))
      for column in 0...row {
        gram[row * count + column] =
          features.preciseProduct(basis[row], basis[column]) + (row == column ? 1e-5 : 0)
      }
    }
    let factor = CholeskyFactor(gram, size: count)
    var errors: [Double] = []
    errors.reserveCapacity(tokens.count)
    let rows = RowBlocks(tokens)
    let basisRows = features.gathered(basis)
    for block in 0..<rows.count {
      try steps.spend(8 * count * (10 + features.columns + count))
      let products = features.preciseProducts(of: rows[block], with: basis)
      let weights = rows.lanes(of: block).flatMap { lane in
        factor.solving((0..<count).map { products[4 * $0 + lane] })
      }
      let sums = basisRows.weightedSums(by: weights)
      for lane in rows.lanes(of: block) {
        errors.append(features.squaredDistance(of: rows[block][lane], to: sums[lane]).squareRoot())
      }
    }
    return errors
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let features = try input.features()
    var steps = StepCounter(limit: input.stepLimit, work: "reconstructing these tokens")
    let choice = try choose(SelectionTask(count: count, of: input), features, &steps)
    // Targets by descending error, so that the first of equal cosines is the authors'. Where basis tokens alone are kept
    // there are none.
    let merged = try MergedTokens.joined(
      choice.kept.sorted(), to: choice.targets, of: features, sharing: input.sharing, &steps)
    var rows = merged.features
    for (slot, basis) in zip(choice.slots, choice.basis) {
      if let row = merged.assignments[slot] { rows.replace(row: row, by: features.row(basis)) }
    }
    return MergedTokens(features: rows, kept: merged.kept, assignments: merged.assignments)
  }
}

/// A symmetric positive matrix as L L^T.
struct CholeskyFactor {
  private let size: Int
  private var lower: [Double]

  /// - Parameter matrix: its lower triangle is read [size, size].
  init(_ matrix: [Double], size: Int) {
    self.size = size
    lower = matrix
    for column in 0..<size {
      for row in column..<size {
        var sum = lower[row * size + column]
        for k in 0..<column { sum -= lower[row * size + k] * lower[column * size + k] }
        if row == column {
          // Rounding may take away what little a nearly singular matrix has.
          lower[row * size + column] = max(sum, 1e-300).squareRoot()
        } else {
          lower[row * size + column] = sum / lower[column * size + column]
        }
      }
    }
  }

  func solving(_ right: [Double]) -> [Double] {
    var x = right
    for row in 0..<size {
      for k in 0..<row { x[row] -= lower[row * size + k] * x[k] }
      x[row] /= lower[row * size + row]
    }
    for row in (0..<size).reversed() {
      for k in (row + 1)..<max(size, row + 1) { x[row] -= lower[k * size + row] * x[k] }
      x[row] /= lower[row * size + row]
    }
    return x
  }
}
