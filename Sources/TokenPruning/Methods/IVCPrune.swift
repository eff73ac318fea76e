import JSON
import Kernels
import PruningNumerics
import Tensors
import VisionLayouts

/// IVC-Prune keeps the tokens at whose positions rotary embedding turns least or by a right angle, and those whose values
/// the question's resemble most.
///
/// Coordinates: the largest means over channels of cos(p w), and of sin(p w). Attention V of values among themselves,
/// softmax(U U^T / sqrt(d)), mean over heads: seeds are the tokens that the text rows attend to most; the others follow by
/// the attention of text rows and seeds.
struct IVCPrune: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "ivcprune",
    summary:
      "Keeps tokens that rotary embedding uses as coordinates, and those with values most like the question's.",
    paper: "Sun et al., ICLR 2026, arXiv 2602.03060",
    requiredInputs: ["value_states"],
    parameters: [
      .init(
        "variant", .choice(["llava", "qwen2_5_vl"]), default: "llava",
        "llava: positions are places in the sequence, softmax over all of it, 5 % coordinates of each kind; qwen2_5_vl:"
          + " positions (time, row, column), softmax over the image, 10 %"),
      .init(
        "image_start", .integer(0...(1 << 20)), default: 0,
        "the row of value_states of the first visual token"),
      .init("rope_base", .number(2...1e12), default: 10_000, "theta of the rotary embedding"),
      .init(
        "head_width", .integer(2...4096), default: nil,
        "d, the channels of a head that rotary embedding turns, even; absent: the last axis of value_states"),
      .init(
        "coordinate_share", .number(0...1), default: nil,
        "tokens of each of the two kinds of coordinates, of all; absent: 0.05, 0.1 for qwen2_5_vl"),
      .init(
        "seed_share", .number(0...1), default: 0.01, "tokens that listen with the text, of all; at least one"),
      .init(
        "faithful", .boolean, default: false,
        "whether the authors' own count is kept, at most K: for llava the union of coordinates, seeds and foreground; for"
          + " qwen2_5_vl the share foreground_share of all"),
      .init(
        "foreground_share", .number(0...1), default: nil,
        "with `faithful`: tokens that the question resembles most, of all; for qwen2_5_vl all that are kept; absent: 0.2,"
          + " 0.5 for qwen2_5_vl"),
    ],
    deviations: [
      "K is exact: coordinates and seeds first, then the tokens that the question resembles most. For llava the authors"
        + " keep a union of 20 to 31 % of the tokens (`faithful`); their count for qwen2_5_vl is half of N.",
      "If there are more than K coordinates and seeds, those that the question resembles most are kept.",
      "Phases are float64; of equal scores, such as those of tokens (r, c) and (c, r) of a Qwen image, the lower index is"
        + " taken.",
      "The first two rows behind the image are passed over, as in the authors' code; without a third the request is"
        + " rejected; the authors' code then takes the mean of no rows.",
    ],
    budget: "The kept tokens, exactly that many; at most with `faithful`.", properties: [],
    memory: MethodMemory(perElement: 8),
    facts: MethodFacts(
      .languageModel, isQuestionAware: true, cost: "O((text + seeds) S H d)", inexactParameter: "faithful",
      reported: ["at least 99 % over 20 benchmarks with half of the tokens": "arXiv 2602.03060"],
      automatic: AutomaticUse(
        .languageModel, ["value_states"], retained: 0.99,
        "keeps positions that serve as coordinates and what resembles the question, and its authors report 99 % with half of the tokens"
      )))

  private let isQwen: Bool
  private let imageStart: Int
  private let base: Double
  private let headWidth: Int?
  private let coordinateShare: Double
  private let seedShare: Double
  private let foregroundShare: Double
  private let isFaithful: Bool

  init(_ parameters: Parameters) throws(PruningError) {
    isQwen = parameters.choice("variant") == "qwen2_5_vl"
    imageStart = parameters.integer("image_start")
    base = parameters.number("rope_base")
    headWidth = parameters.optionalInteger("head_width")
    coordinateShare = parameters.optionalNumber("coordinate_share") ?? (isQwen ? 0.1 : 0.05)
    seedShare = parameters.number("seed_share")
    isFaithful = parameters.boolean("faithful")
    foregroundShare = parameters.optionalNumber("foreground_share") ?? (isQwen ? 0.5 : 0.2)
    if !isFaithful, parameters.optionalNumber("foreground_share") != nil {
      throw PruningError(
        at: "/method_parameters/foreground_share",
        "is the authors' way to count, which `faithful` asks for; without it the budget decides")
    }
    if let headWidth, headWidth % 2 != 0 {
      throw PruningError(at: "/method_parameters/head_width", "must be even, not \(headWidth)")
    }
  }

  var mayKeepFewer: Bool { isFaithful }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let heads = try input.headRows(named: "value_states", rows: nil)
    let count = input.tokenCount
    let length = heads[0].rows
    let first = imageStart + input.firstToken
    let end = first + count
    // Behind the last image of several.
    let textStart = imageStart + input.requestTokenCount + 2
    guard textStart < length else {
      throw PruningError(
        at: "value_states",
        "has \(length) rows; \(input.requestTokenCount) visual tokens from row \(imageStart) need at least "
          + "\(textStart + 1), because the text begins two rows behind the image")
    }
    guard task.count > 0, count > 0 else { return [] }
    var steps = StepCounter(limit: input.stepLimit, work: "comparing these values")
    let text = Array(textStart..<length)
    let scope = isQwen ? first..<end : 0..<length
    let listened = try Self.attention(of: text, to: scope, image: first..<end, heads, &steps)
    let seeds = Ranking.highest(
      max(1, roundHalfToEven(seedShare, of: count)), of: listened, among: Array(0..<count))
    let added = try Self.attention(of: seeds.map { first + $0 }, to: scope, image: first..<end, heads, &steps)
    let relevance = zip(listened, added).map { ($0 + $1) / Double(text.count + seeds.count) }
    let coordinates = try coordinates(of: input, width: headWidth ?? heads[0].columns / 2 * 2, &steps)

    let isCandidate = Set(task.candidates)
    let priority = Set(seeds + coordinates).filter(isCandidate.contains).sorted()
    let isPrior = Set(priority)
    let rest = task.candidates.filter { !isPrior.contains($0) }
    if isFaithful, !isQwen {
      let foreground = Ranking.highest(
        roundHalfToEven(foregroundShare, of: count), of: relevance, among: Array(0..<count))
      let union = isPrior.union(foreground).filter(isCandidate.contains).sorted()
      return Ranking.highest(min(task.count, union.count), of: relevance, among: union)
    }
    let wanted = isFaithful ? min(task.count, roundHalfToEven(foregroundShare, of: count)) : task.count
    guard priority.count < wanted else {
      return Ranking.highest(
        min(isFaithful ? priority.count : wanted, task.count, priority.count), of: relevance, among: priority)
    }
    return priority + Ranking.highest(min(wanted - priority.count, rest.count), of: relevance, among: rest)
  }

  func otherSteps(on input: PruningInput) -> Double {
    guard let values = input.tensors["value_states"], values.rank >= 2 else { return 0 }
    let (length, width) = (values.shape[values.rank - 2], values.shape[values.rank - 1])
    let heads = Double(values.elementCount) / Double(max(length, 1)) / Double(max(width, 1))
    let texts = max(0, length - imageStart - input.requestTokenCount - 2)
    let listeners = Double(texts) + 1 + seedShare * Double(input.tokenCount)
    let phases = 20 * Double(headWidth ?? width) * Double(input.tokenCount)
    return heads * listeners * Double(length) * Double(20 + width / 2) + phases
  }

  /// The attention of some rows to each visual token, summed over them, mean over heads [N].
  ///
  /// - Parameter scope: the rows over which the softmax goes.
  private static func attention(
    of queries: [Int], to scope: Range<Int>, image: Range<Int>, _ heads: [Matrix], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    var sums = [Double](repeating: 0, count: image.count)
    for head in heads {
      let scale = 1 / Double(head.columns).squareRoot()
      for query in queries {
        try steps.spend(scope.count * (20 + head.columns / 2))
        let weights = softmax(scope.map { head.preciseProduct(query, $0) * scale })
        let shift = image.lowerBound - scope.lowerBound
        for token in sums.indices { sums[token] += weights[token + shift] }
      }
    }
    return sums.map { $0 / Double(heads.count) }
  }

  /// The tokens with the largest mean cosine, and those with the largest mean sine, of their rotary phases.
  private func coordinates(
    of input: PruningInput, width: Int, _ steps: inout StepCounter
  ) throws(PruningError) -> [Int] {
    let count = input.tokenCount
    guard width >= 2 else { return [] }
    let frequencies = RotaryFrequencies(width: width, base: base).frequencies
    var known: [Int: (Double, Double)] = [:]
    func means(_ position: Int) throws(PruningError) -> (cosine: Double, sine: Double) {
      if let known = known[position] { return known }
      try steps.spend(40 * frequencies.count)
      let phases = frequencies.map { cosineAndSine($0 * Double(position)) }
      let turns = Double(frequencies.count)
      let means = (phases.reduce(0) { $0 + $1.cosine } / turns, phases.reduce(0) { $0 + $1.sine } / turns)
      known[position] = means
      return means
    }
    let positions = try positions(of: input)
    var (cosines, sines) = ([Double](), [Double]())
    for axes in positions {
      let each = try axes.map { (position) throws(PruningError) in try means(position) }
      cosines.append(each.reduce(0) { $0 + $1.cosine } / Double(axes.count))
      sines.append(each.reduce(0) { $0 + $1.sine } / Double(axes.count))
    }
    let wanted = roundHalfToEven(coordinateShare, of: count)
    let all = Array(0..<count)
    return Ranking.highest(wanted, of: cosines, among: all) + Ranking.highest(wanted, of: sines, among: all)
  }

  /// The position of each token in one dimension, or in three.
  private func positions(of input: PruningInput) throws(PruningError) -> [[Int]] {
    guard isQwen else { return (0..<input.tokenCount).map { [imageStart + $0] } }
    guard let layout = input.layout, layout.tokenCount == input.tokenCount, layout.views.count == 1 else {
      throw PruningError(
        at: "/layout", "variant 'qwen2_5_vl' counts rows and columns, and needs a layout of one image")
    }
    let view = layout.views[0]
    var positions = [[Int]](repeating: [imageStart, imageStart, imageStart], count: input.tokenCount)
    for row in 0..<view.rows {
      for column in 0..<view.columns {
        positions[view.token(row: row, column: column)] = [imageStart, imageStart + row, imageStart + column]
      }
    }
    return positions
  }
}
