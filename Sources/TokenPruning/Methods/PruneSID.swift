import JSON
import Kernels
import PruningNumerics

/// PruneSID groups tokens by their dominant principal component, thins each group of near copies, and divides the budget
/// among the groups by what is left of them.
///
/// Principal components of sigmoid(features) with tokens as variables; group of token i = the component g with the
/// largest |V[i, g]|. In a group the token with the highest score stays and suppresses those whose cosine with it is above
/// a threshold, and so on; a group's share of the budget follows the number that stayed.
struct PruneSID: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "prunesid",
    summary:
      "Groups tokens by principal component, thins each group, and divides the budget among the groups.",
    paper: "ICLR 2026, arXiv 2603.09480",
    requiredInputs: ["image_features"], optionalInputs: ["attention"],
    parameters: [
      .init(
        "variant", .choice(["llava", "qwen2_vl"]), default: "llava",
        "llava: scores are the attention, and the authors' token number M is K + 1, because it counts [CLS]; qwen2_vl:"
          + " scores are the components themselves, M is K, and no attention is read")
    ],
    deviations: [
      "Components are exact; the authors' code finds them by a randomised method without a seed, so that two of its runs"
        + " share 73 to 84 % of the tokens (30 to 52 % for qwen2_vl).",
      "Of groups with equally many survivors, and of tokens with equal scores, the lower index comes first; the authors'"
        + " sort is unstable.",
      "There are at most as many groups as components that are not 0, and at least 1; the authors' code fails below 4"
        + " tokens.",
      "Without `attention`, `llava` also scores by the components.",
      "The authors keep the [CLS] row first; here the caller adds it.",
      "With a region the candidates are grouped, not the whole image.",
    ],
    budget:
      "The kept tokens, exactly that many, without the [CLS] row, which the authors count too.",
    // Sigmoids, their transpose and unit rows in float64; the matrix of products and its copy have the smaller side
    // squared, which is at most the number of elements.
    cost: .allPairs, memory: MethodMemory(perElement: 64),
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(N m D + m^3), m = min(N, D)",
      reported: [
        "96.3 % of LLaVA-1.5 at 64 of 576 tokens, 92.8 % of LLaVA-NeXT at 5.6 %":
          "arXiv 2603.09480, with a randomised decomposition"
      ]))

  private let isQwen: Bool

  init(_ parameters: Parameters) { isQwen = parameters.choice("variant") == "qwen2_vl" }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let features = try input.features()
    let hasAttention = !isQwen && input.tensors["attention"] != nil
    let attention = hasAttention ? try input.attentionScores() : []
    let tokens = task.candidates
    guard task.count > 0, task.count < tokens.count else { return Array(tokens.prefix(task.count)) }
    let total = isQwen ? task.count : task.count + 1
    var steps = StepCounter(limit: input.stepLimit, work: "finding the principal components of these tokens")
    let rows = tokens.count == features.rows ? features : features.gathered(tokens)
    let components = try PrincipalComponents(
      rows, count: max(total / 4, isQwen ? 4 : 1), sharing: input.sharing, &steps)
    let scores = hasAttention ? tokens.map { attention[$0] } : components.strongest
    let unit = UnitRows(rows)
    let threshold = Self.meanSimilarity(of: unit, isQwen: isQwen) * factor(total, tokens.count)
    var groups = [[Int]](repeating: [], count: components.count)
    for (slot, group) in components.groups.enumerated() { groups[group].append(slot) }
    let thinned = try groups.map { (group) throws(PruningError) -> ThinnedGroup in
      try ThinnedGroup(group, scores: scores, unit, threshold, &steps)
    }
    let lower = thinned.map { min(1, $0.ranking.count) }
    let free = max(0, total - (isQwen ? 0 : 1) - lower.reduce(0, +))
    let quotas = Self.quotas(thinned, lower: lower, free: free, total: total)
    var kept = zip(thinned, quotas).flatMap { $0.ranking.prefix($1) }
    kept.removeLast(max(0, kept.count - task.count))
    let slots = SelectionTask(count: task.count, candidates: Array(tokens.indices))
    return slots.filled(kept, by: scores).map { tokens[$0] }
  }

  /// Rows in the order of the authors' code: group by group; `qwen2_vl` sorts more than 150.
  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let kept = try select(SelectionTask(count: count, of: input), from: input)
    return MergedTokens.gathered(
      isQwen && count > Self.unsortedCount ? kept.sorted() : kept, of: try input.features())
  }

  private static let unsortedCount = 150

  private func factor(_ total: Int, _ count: Int) -> Double {
    isQwen ? max(18 * Double(total) / Double(count), 1) : Double(total) / 32
  }

  /// The mean cosine of different tokens; of the qwen2_vl code the sum over i <= j divided by N^2.
  private static func meanSimilarity(of rows: UnitRows, isQwen: Bool) -> Double {
    let count = Double(rows.count)
    let mean = rows.mean(of: 0..<rows.count)
    // The sum over all pairs is the square of the sum.
    let all = innerProduct(mean, mean) * count * count
    let own = Double(rows.directionCount)
    return isQwen ? (all + own) / 2 / (count * count) : (all - own) / (count * (count - 1))
  }

  /// How many tokens each group keeps.
  static func quotas(_ groups: [ThinnedGroup], lower: [Int], free: Int, total: Int) -> [Int] {
    let sizes = groups.map(\.ranking.count)
    let survivors = groups.map(\.survivorCount)
    let most = 5 * ((total + 63) / 64)
    var upper = zip(sizes, survivors).map { min(most, $0, $1) }
    // All are raised by as little as is enough.
    func raised(by more: Int) -> [Int] { zip(upper, sizes).map { min($0 + more, $1) } }
    let wantedSum = min(total, sizes.reduce(0, +))
    var (low, high) = (0, sizes.max() ?? 0)
    while low < high {
      let middle = (low + high) / 2
      if raised(by: middle).reduce(0, +) < wantedSum { low = middle + 1 } else { high = middle }
    }
    upper = raised(by: low)
    let weights = survivors.contains { $0 > 0 } ? survivors : sizes
    let sum = Float(max(weights.reduce(0, +), 1))
    // As the authors' library computes it: shares in float32, added up in float64, rounded to float32 each time.
    var running = 0.0
    var before = 0
    var quotas: [Int] = []
    for (group, weight) in weights.enumerated() {
      running += Double(Float(weight) / sum)
      let rounded = Int((Float(free) * Float(running)).rounded(.toNearestOrEven))
      quotas.append(min(rounded - before + lower[group], upper[group]))
      before = rounded
    }
    let wanted = free + lower.reduce(0, +)
    let order = Ranking.highest(
      survivors.count, of: survivors.map(Double.init), among: Array(survivors.indices))
    for group in order {
      let missing = wanted - quotas.reduce(0, +)
      quotas[group] += min(max(missing, 0), upper[group] - quotas[group])
    }
    return quotas.map { max($0, 0) }
  }
}

/// A group of tokens in the order in which they are kept: survivors first, then what they suppressed.
struct ThinnedGroup {
  let ranking: [Int]
  let survivorCount: Int

  /// - Parameter scores: of all tokens; one of 0 or less survives nothing.
  init(
    _ group: [Int], scores: [Double], _ rows: UnitRows, _ threshold: Double, _ steps: inout StepCounter
  ) throws(PruningError) {
    let order = Ranking.highest(group.count, of: scores, among: group)
    var isOpen = [Bool](repeating: true, count: order.count)
    var survivors: [Int] = []
    for (slot, token) in order.enumerated() where isOpen[slot] && scores[token] > 0 {
      survivors.append(token)
      isOpen[slot] = false
      try steps.spend((order.count - slot) * StepCounter.plainComparison(columns: rows.columns))
      for other in (slot + 1)..<order.count where isOpen[other] {
        if rows.product(token, order[other]) > threshold { isOpen[other] = false }
      }
    }
    let isSurvivor = Set(survivors)
    ranking = survivors + order.filter { !isSurvivor.contains($0) }
    survivorCount = survivors.count
  }
}

/// The principal components of tokens, which are the variables; channels are the samples.
struct PrincipalComponents {
  /// How many there are.
  let count: Int
  /// The component that is strongest in each token, the first of equals.
  let groups: [Int]
  /// How strong it is there.
  let strongest: [Double]

  /// Components whose variance is smaller than this part of the first one's are rounding.
  private static let smallestShare = 1e-13

  /// - Parameter count: fewer are found where the rest is 0.
  /// - Throws: when it is more work than the limit allows.
  /// - Complexity: O(N m D + m^3) with m = min(N, D).
  init(
    _ features: Matrix, count: Int, sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) {
    let (rows, columns) = (features.rows, features.columns)
    try steps.spend(features.values.count * 20)
    let values = Self.centredSigmoids(of: features)
    let isWide = columns >= rows
    let size = min(rows, columns)
    let (cost, overflow) = (size * size).multipliedReportingOverflow(
      by: max(rows, columns) / 2 + 4 * size / 3)
    guard !overflow, cost <= steps.remaining else {
      throw PruningError(
        at: "image_features",
        "finding the principal components of \(rows) tokens of \(columns) numbers is more work than one request may do;"
          + " give each tile its own budget (budget_scope 'tile')")
    }
    let matrix =
      isWide
      ? Self.products(values, rows, columns, sharing)
      : Self.products(Self.transposed(values, rows, columns), columns, rows, sharing)
    try steps.spend(size * size * max(rows, columns) / 2)
    let found = try LeadingEigenvectors(min(count, size), of: matrix, size: size, &steps)
    let first = found.values.first ?? 0
    let components = found.values.indices.filter {
      found.values[$0] > Self.smallestShare * first && first > 0
    }
    let vectors = components.map { component -> [Double] in
      let vector = found.vectors[component]
      if isWide { return vector }
      let length = found.values[component].squareRoot()
      return values.withUnsafeBufferPointer { values in
        vector.withUnsafeBufferPointer { vector in
          guard let base = values.baseAddress, let vector = vector.baseAddress else { return [] }
          return (0..<rows).map { wideDot(base + $0 * columns, vector, columns) / length }
        }
      }
    }
    var groups = [Int](repeating: 0, count: rows)
    var strongest = [Double](repeating: 0, count: rows)
    for (component, vector) in vectors.enumerated() {
      for row in 0..<rows where vector[row].magnitude > strongest[row] {
        strongest[row] = vector[row].magnitude
        groups[row] = component
      }
    }
    self.count = max(vectors.count, 1)
    self.groups = groups
    self.strongest = strongest
  }

  private static func centredSigmoids(of features: Matrix) -> [Double] {
    let columns = features.columns
    // 1 / (1 + e^-x) by powers that cannot overflow.
    var values = features.values.map { -Double($0.magnitude) }
    values.withUnsafeMutableBufferPointer { values in
      guard let base = values.baseAddress else { return }
      KernelSet.active.coverage.widePowers(base, values.count, 0, 1)
      features.values.withUnsafeBufferPointer { features in
        for slot in values.indices {
          let power = values[slot]
          values[slot] = (features[slot] < 0 ? power : 1) / (1 + power)
        }
      }
      for start in stride(from: 0, to: values.count, by: max(columns, 1)) {
        var sum = 0.0
        for slot in start..<(start + columns) { sum += values[slot] }
        let mean = sum / Double(columns)
        for slot in start..<(start + columns) { values[slot] -= mean }
      }
    }
    return values
  }

  private static func transposed(_ values: [Double], _ rows: Int, _ columns: Int) -> [Double] {
    var result = [Double](repeating: 0, count: values.count)
    for row in 0..<rows {
      for column in 0..<columns { result[column * rows + row] = values[row * columns + column] }
    }
    return result
  }

  /// The inner products of rows with each other and themselves, the lower triangle [rows, rows].
  private static func products(_ values: [Double], _ rows: Int, _ columns: Int, _ sharing: WorkSharing)
    -> [Double]
  {
    // So many columns that four rows stay in the first cache while all rows of a part meet them.
    let strip = 512
    var products = [Double](repeating: 0, count: rows * rows)
    products.withUnsafeMutableBufferPointer { target in
      guard let base = target.baseAddress else { return }
      let into = SharedAddress(base)
      sharing.forEach((rows + 15) / 16) { part in
        values.withUnsafeBufferPointer { values in
          guard let into = into.pointer, let from = values.baseAddress else { return }
          let own = (16 * part)..<min(16 * part + 16, rows)
          for start in stride(from: 0, to: columns, by: strip) {
            let width = min(strip, columns - start)
            for first in stride(from: 0, to: own.upperBound, by: 4) {
              func other(_ lane: Int) -> UnsafePointer<Double> {
                from + min(first + lane, rows - 1) * columns + start
              }
              for row in own where row >= first {
                let four = KernelSet.active.wideRows.productsOfFour(
                  from + row * columns + start, other(0), other(1), other(2), other(3), width)
                for lane in 0...min(3, row - first) { into[row * rows + first + lane] += four[lane] }
              }
            }
          }
        }
      }
    }
    return products
  }
}
