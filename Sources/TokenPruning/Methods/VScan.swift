import JSON
import PruningNumerics
import VisionLayouts

/// VScan keeps the tokens that stand out in windows of a shallow layer and in the whole of a deep one, and merges the
/// rest into them.
///
/// Half of K, divided evenly among windows x windows windows of the grid, goes to the highest early attention of each; the
/// rest to the highest `attention` of those left. On /compress every dropped token joins the kept one of largest cosine,
/// whose row is the mean of all that joined it and itself.
struct VScan: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "vscan",
    summary:
      "Keeps the most attended tokens of each window in a shallow layer, and of all in a deep one; merges the rest.",
    paper: "Zhang et al., TMLR 2026, arXiv 2505.22654",
    requiredInputs: ["attention"], optionalInputs: ["early_attention", "image_features"],
    parameters: [
      .init("windows", .integer(1...64), default: 4, "into how many parts each side of the grid is cut"),
      .init("local_share", .number(0...1), default: 0.5, "the part of K that the windows get, rounded down"),
      .init(
        "faithful", .boolean, default: false,
        "whether what the windows cannot share evenly is not kept, as in the authors' code, which fails where a window gets"
          + " nothing"),
    ],
    deviations: [
      "K is exact: what the windows do not share evenly goes to the deep layer's choice; the authors' code keeps up to 15"
        + " fewer (`faithful`).",
      "Any grid is cut, sides that do not divide into parts that differ by one; theirs is 24 x 24.",
      "Without `early_attention`, `attention` decides in the windows, too; without a layout the tokens are one row.",
      "Equal scores keep the lower index; the authors' code leaves their order to torch.topk.",
    ],
    budget: "The kept tokens, exactly that many; `faithful` may keep fewer.", properties: [.scaleInvariant],
    cost: .linear, memory: .scores,
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(H N + N log N), O(N K D) to merge",
      inexactParameter: "faithful",
      reported: ["95.4 % of LLaVA-NeXT-7B with a tenth of the FLOPs": "arXiv 2505.22654"]))

  private let windows: Int
  private let share: Double
  private let isFaithful: Bool

  init(_ parameters: Parameters) {
    windows = parameters.integer("windows")
    share = parameters.number("local_share")
    isFaithful = parameters.boolean("faithful")
  }

  var mayKeepFewer: Bool { isFaithful }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let late = try input.attentionScores()
    let hasEarly = input.tensors["early_attention"] != nil
    let early = hasEarly ? try input.attentionScores(named: "early_attention") : late
    guard task.count > 0 else { return [] }
    guard task.count < task.candidates.count else { return task.candidates }
    let parts = parts(of: task.candidates, in: input)
    let local = Int((Double(task.count) * share).rounded(.down))
    let quota = local / max(windows * windows, 1)
    guard !isFaithful || quota > 0 else {
      throw PruningError(
        at: "/method_parameters/faithful",
        "the authors' code fails where a window gets no token: \(windows * windows) windows share \(local); keep more, or"
          + " leave faithful out")
    }
    var kept = parts.flatMap { Ranking.highest(min(quota, $0.count), of: early, among: $0) }
    let isLocal = Set(kept)
    let rest = task.candidates.filter { !isLocal.contains($0) }
    let wanted = isFaithful ? task.count - local : task.count - kept.count
    kept += Ranking.highest(min(wanted, rest.count), of: late, among: rest)
    return kept
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let kept = try select(SelectionTask(count: count, of: input), from: input).sorted()
    var steps = StepCounter(limit: input.stepLimit)
    return try MergedTokens.joined(kept, to: kept, of: try input.features(), sharing: input.sharing, &steps)
  }

  /// The candidates of each window, views one after the other; what lies in no view is in none.
  private func parts(of candidates: [Int], in input: PruningInput) -> [[Int]] {
    var isCandidate = [Bool](repeating: false, count: input.tokenCount)
    for token in candidates { isCandidate[token] = true }
    let views =
      input.layout?.views ?? [TokenView(firstToken: 0, rows: 1, columns: input.tokenCount)]
    // A budget for several views is shared by the windows of all: view by view would need one each.
    var parts = [[Int]](repeating: [], count: windows * windows)
    for view in views {
      for row in 0..<view.rows {
        for column in 0..<view.columns where isCandidate[view.token(row: row, column: column)] {
          let part = row * windows / view.rows * windows + column * windows / view.columns
          parts[part].append(view.token(row: row, column: column))
        }
      }
    }
    return parts.map { $0.sorted() }
  }
}
