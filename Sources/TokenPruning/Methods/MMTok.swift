import GreedySearch
import JSON
import PruningNumerics
import Tensors

/// MMTok keeps the tokens that together cover the words of the question and all other tokens best.
///
/// P = softmax over tokens of cosine(word, token) / `text_temperature`, divided by the number of words; Q the same among
/// the tokens at `vision_temperature`, divided by N. Greedy maximum coverage of the rows of P and alpha Q.
/// - Complexity: O(N^2 D / 2), and O(N + words) for each gain that is evaluated, see ``CoverageSearch``; 4 N^2 bytes.
struct MMTok: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "mmtok",
    summary: "Keeps the tokens that cover the words of the question and all other tokens best.",
    paper: "Dong et al., ICLR 2026, arXiv 2508.18264",
    requiredInputs: ["image_features", "text_features"],
    optionalInputs: ["encoder_features", "padding_mask"],
    parameters: [
      .init(
        "alpha", .number(0...1000), default: 0.5, "how much covering tokens counts beside covering words"),
      .init(
        "text_temperature", .number(0.001...100), default: 0.02,
        "of the softmax between words and tokens; the authors' 0.02 for LLaVA, 0.01 for Qwen"),
      .init("vision_temperature", .number(0.001...100), default: 0.2, "of the softmax among tokens"),
      .init(
        "faithful", .boolean, default: false,
        "whether fewer tokens are kept where only padding is left, as in the authors' code, which then repeats"
          + " the first token"),
    ],
    deviations: [
      "Without `encoder_features` [N, E], the encoder's patches, tokens are compared by image_features.",
      "Padding is chosen last, lowest index first; the authors' code repeats index 0 (`faithful` keeps fewer).",
      "The words are the rows of `text_features`; the caller leaves out stop words and instructions.",
      "A zero row has cosine 0 with everything, itself included, as in the authors' code; a row shorter than 1e-8 has"
        + " its direction here, and nearly none there.",
      "Where tokens are kept already (a region), they cover from the beginning, and only they and the candidates"
        + " are covered.",
    ],
    budget: "The kept tokens, exactly that many; `faithful` with padding may keep fewer.",
    properties: [.nested, .scaleInvariant, .orderEquivariant],
    cost: .allPairs,
    // Products and weights in float32, at worst weights in float64; the same for each word.
    memory: MethodMemory(perElement: 24, perPair: 20, perTextPair: 24),
    facts: MethodFacts(
      .question, isQuestionAware: true, cost: "O(N^2 D)", inexactParameter: "faithful",
      reported: ["98.7 % on POPE with LLaVA-NeXT-13B, 1.87 times faster": "arXiv 2508.18264"],
      automatic: AutomaticUse(
        .question, ["image_features", "text_features"], retained: 0.877,
        "covers the words of the question and all other tokens, and its authors report 87.7 % of LLaVA-1.5 with 4 tokens"
      )))

  private let alpha: Double
  private let temperatures: (words: Double, tokens: Double)
  private let isFaithful: Bool

  init(_ parameters: Parameters) {
    alpha = parameters.number("alpha")
    temperatures = (parameters.number("text_temperature"), parameters.number("vision_temperature"))
    isFaithful = parameters.boolean("faithful")
  }

  var mayKeepFewer: Bool { isFaithful }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let projected = try input.cosineSpace()
    let text = try input.textFeatures()
    guard text.columns == projected.columns else {
      throw PruningError(
        at: "text_features",
        "has \(text.columns) columns, but image_features has \(projected.columns); mmtok compares the question's"
          + " words with the projected tokens, so both need one width")
    }
    let hasOwn = input.tensors["encoder_features"] != nil
    let space = hasOwn ? try input.cosineSpace(named: "encoder_features") : projected
    let isPadding = try padding(of: input)
    let open = task.candidates.filter { !isPadding[$0] }
    let padding = task.candidates.filter { isPadding[$0] }
    if task.count == 0 || (task.count == task.candidates.count && !isFaithful) {
      return Array(task.candidates.prefix(task.count))
    }
    // Padding is not chosen, but covered as any other token.
    let others = padding + task.given
    let members = open + others
    try SimilarityMatrix.checkCount(members.count, of: Self.name)
    var steps = StepCounter(limit: input.stepLimit)
    let (pairs, overflow) = members.count.multipliedReportingOverflow(by: text.rows)
    guard !overflow, pairs <= Self.maximumWordPairs else {
      throw PruningError(
        at: "text_features",
        "\(text.rows) words for \(members.count) tokens are more than \(Self.maximumWordPairs) pairs")
    }
    try steps.spend(comparingWith: pairs, of: projected, exactly: true)
    let cosines = projected.exactSimilarities(of: members, to: text, norms: text.norms())
    let weights = try SoftmaxCoverage(
      space, candidates: open, given: others, words: cosines, count: text.rows, temperatures: temperatures,
      alpha: alpha, sharing: input.sharing, &steps)
    var search = try CoverageSearch(
      weights, factors: open.map { _ in 1 }, addends: open.map { _ in 0 },
      given: (open.count + padding.count)..<members.count, steps: steps)
    let kept = try search.next(min(task.count, open.count)).map { open[$0] }
    return isFaithful ? kept : kept + padding.prefix(task.count - kept.count)
  }

  /// 64 MiB of weights.
  private static let maximumWordPairs = 1 << 23

  /// Whether each token is padding: `padding_mask` [N], 1 where it is.
  private func padding(of input: PruningInput) throws(PruningError) -> [Bool] {
    guard input.tensors["padding_mask"] != nil else {
      return Array(repeating: false, count: input.tokenCount)
    }
    let tensor = try input.tensor("padding_mask")
    guard tensor.shape.dimensions == [input.tokenCount] else {
      throw PruningError(at: "padding_mask", "shape must be [\(input.tokenCount)], not \(tensor.shape)")
    }
    let flags = try tensor.flags(named: "padding_mask", "a token that shows padding")
    guard flags.isEmpty || flags.contains(false) else {
      throw PruningError(
        at: "padding_mask",
        "marks all \(flags.count) tokens as padding: 1 means padding here, the opposite of transformers' attention_mask"
      )
    }
    return flags
  }
}
