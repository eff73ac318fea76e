import JSON
import PruningNumerics
import Tensors

/// DART keeps a few pivot tokens and, for each, the tokens that resemble it least: duplication decides, not
/// importance.
///
/// Pivots are the image and text tokens whose keys have the largest L1 norm. Every pivot in turn takes its quota
/// of image tokens, those with the smallest cosine to it that are left. Text pivots are not kept: they are text.
struct Dart: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "dart",
    summary: "Keeps pivot tokens and those that resemble the pivots least (duplication-aware).",
    paper: "Wen et al., EMNLP 2025, arXiv 2502.11494",
    requiredInputs: ["image_features"], optionalInputs: ["key", "text_features", "text_key"],
    parameters: [
      .init("image_pivots", .integer(1...1024), default: 4, "pivots among the image tokens; they are kept"),
      .init("text_pivots", .integer(0...1024), default: 4, "pivots among the rows of text_features"),
      .init(
        "faithful", .boolean, default: false,
        "whether pivots take turns in the order in which CPython's set iterates over their places in the"
          + " sequence, as in the authors' code, instead of by descending norm"),
      .init(
        "image_start", .integer(0...(1 << 30)), default: 0,
        "place of the first image token in the sequence; the text follows the image; for `faithful` alone"),
    ],
    deviations: [
      "The budget is exact: what does not divide by the number of pivots goes to the first ones, one each. The"
        + " authors' code rounds the quota down and adds the image pivots, so that 128 keeps 132.",
      "Pivots take turns in descending order of norm unless `faithful`; the authors' order follows from a hash"
        + " table, and another order changes up to 6.5 % of the kept tokens.",
      "`image_features` and `text_features` stand for the hidden states after the final norm; without `key` or"
        + " `text_key` the norms are those of the features.",
      "On /prune, tokens that the region has kept already play no part.",
    ],
    budget: "The kept tokens, exactly that many, image pivots included.",
    properties: [.scaleInvariant, .orderEquivariant],
    facts: MethodFacts(
      .languageModel, isQuestionAware: true, cost: "O(N D)",
      reported: [
        "comparable accuracy with 88.9 % of the tokens pruned, 2.99 times faster prefill": "arXiv 2502.11494"
      ]))

  private let imagePivots: Int
  private let textPivots: Int
  private let isFaithful: Bool
  private let imageStart: Int

  init(_ parameters: Parameters) throws(PruningError) {
    imagePivots = parameters.integer("image_pivots")
    textPivots = parameters.integer("text_pivots")
    isFaithful = parameters.boolean("faithful")
    imageStart = parameters.integer("image_start")
    try parameters.refuse(
      "image_start", when: !isFaithful, "only decides the turns of pivots with `faithful`")
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let features = try input.features()
    let norms = try Self.absoluteSums(of: input, "key", rows: input.tokenCount, or: features)
    let text = try texts(of: input, columns: features.columns)
    let image = Ranking.highest(min(imagePivots, task.count), of: norms, among: task.candidates)
    var isTaken = [Bool](repeating: false, count: features.rows)
    for row in image { isTaken[row] = true }
    let pool = task.candidates.filter { !isTaken[$0] }
    var kept = image
    let wanted = task.count - image.count
    let turns = turns(image, text.pivots, tokenCount: input.tokenCount)
    guard wanted > 0 else { return kept }

    let space = CosineSpace(features)
    // Those that take one token at least.
    let choosing = turns.prefix(wanted)
    var steps = StepCounter(limit: input.stepLimit)
    var left = pool
    for first in stride(from: 0, to: choosing.count, by: Self.pivotsAtOnce) {
      let some = choosing[first..<min(first + Self.pivotsAtOnce, choosing.count)]
      let pivots = Matrix(
        rows: some.count, columns: features.columns,
        values: some.flatMap {
          $0 < features.rows ? features.row($0) : text.rows.row($0 - features.rows)
        })
      try steps.spend(comparingWith: left.count * pivots.rows, of: space, exactly: true)
      let similarities = Self.similarities(of: left, in: space, to: pivots, sharing: input.sharing)
      var slots = Array(left.indices)
      for turn in some.indices {
        try steps.spend(Self.turnCost(of: slots.count))
        let quota = wanted / turns.count + (turn < wanted % turns.count ? 1 : 0)
        let scores = slots.map { -similarities[$0 * pivots.rows + turn - first] }
        for slot in Ranking.highest(quota, of: scores, among: Array(slots.indices)) {
          isTaken[left[slots[slot]]] = true
        }
        kept += slots.filter { isTaken[left[$0]] }.map { left[$0] }
        slots.removeAll { isTaken[left[$0]] }
      }
      left = slots.map { left[$0] }
    }
    return kept
  }

  /// Tokens are read once for this many pivots, whose similarities to all of them are held: more than the default has.
  private static let pivotsAtOnce = 16

  private static func turnCost(of count: Int) -> Int { 100 + 10 * count }

  /// The exact similarities of rows to pivots [rows, pivots].
  private static func similarities(
    of rows: [Int], in space: CosineSpace, to pivots: Matrix, sharing: WorkSharing
  ) -> [Double] {
    let perPart = 32
    let norms = pivots.norms()
    let parts = sharing.map((rows.count + perPart - 1) / perPart) { part in
      let some = Array(rows[part * perPart..<min((part + 1) * perPart, rows.count)])
      return space.exactSimilarities(of: some, to: pivots, norms: norms)
    }
    return parts.flatMap { $0 }
  }

  /// Rows in the order of their turns: image tokens as they are, text row j as N + j.
  private func turns(_ image: [Int], _ text: [Int], tokenCount: Int) -> [Int] {
    let rows = image + text.map { tokenCount + $0 }
    guard isFaithful else { return rows }
    return CPythonSet.iterationOrder(of: rows.map { $0 + imageStart }).map { $0 - imageStart }
  }

  private func texts(
    of input: PruningInput, columns: Int
  ) throws(PruningError) -> (rows: Matrix, pivots: [Int]) {
    guard input.tensors["text_features"] != nil, textPivots > 0 else {
      return (Matrix(rows: 0, columns: columns, values: []), [])
    }
    let rows = try input.textFeatures()
    guard rows.columns == columns else {
      throw PruningError(
        at: "text_features",
        "has \(rows.columns) columns, but image_features has \(columns); both are hidden states of one model")
    }
    let norms = try Self.absoluteSums(of: input, "text_key", rows: rows.rows, or: rows)
    return (rows, Ranking.highest(min(textPivots, rows.rows), of: norms, among: Array(0..<rows.rows)))
  }

  /// The L1 norm of each row, over all heads of the keys.
  private static func absoluteSums(
    of input: PruningInput, _ name: String, rows: Int, or features: Matrix
  ) throws(PruningError) -> [Double] {
    let heads = input.tensors[name] == nil ? [features] : try input.headRows(named: name, rows: rows)
    var sums = [Double](repeating: 0, count: rows)
    for head in heads {
      for (row, sum) in head.absoluteSums().enumerated() { sums[row] += sum }
    }
    return sums
  }
}

/// The order in which CPython iterates over a set of small non-negative whole numbers that was filled one by one.
///
/// A number's hash is itself. The table starts with 8 slots and is rebuilt with the power of two above four times
/// its entries when three fifths are full; a taken slot is followed by up to nine next ones that lie in the table,
/// then by slot 5 i + 1 + perturbation (Objects/setobject.c, since 3.7).
enum CPythonSet {
  private static let linearProbes = 9

  static func iterationOrder(of numbers: [Int]) -> [Int] {
    var table = [Int?](repeating: nil, count: 8)
    var count = 0
    for number in numbers where insert(number, into: &table) {
      count += 1
      if count * 5 >= (table.count - 1) * 3 {
        var size = 8
        while size <= count * 4 { size *= 2 }
        let entries = table.compactMap { $0 }
        table = Array(repeating: nil, count: size)
        for entry in entries { _ = insert(entry, into: &table) }
      }
    }
    return table.compactMap { $0 }
  }

  /// - Returns: whether it was not there.
  private static func insert(_ number: Int, into table: inout [Int?]) -> Bool {
    let mask = table.count - 1
    var perturbation = number
    var slot = number & mask
    while true {
      let last = slot + linearProbes <= mask ? slot + linearProbes : slot
      for probe in slot...last {
        if table[probe] == number { return false }
        if table[probe] == nil {
          table[probe] = number
          return true
        }
      }
      perturbation >>= 5
      slot = (slot &* 5 &+ 1 &+ perturbation) & mask
    }
  }
}
