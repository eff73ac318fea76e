import JSON
import PruningNumerics

/// Efficient Video Sampling keeps the tokens that differ most from the same place one frame before.
///
/// score = 1 - cosine(x[t, p], x[t - 1, p]); the first frame has the score 255, above any other.
///
/// Source: Bagrov et al., "Efficient Video Sampling: Pruning Temporally Redundant Tokens for Faster VLM
/// Inference", 2025, arXiv 2510.14624, as implemented in vLLM.
struct EVS: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "evs",
    summary: "Keeps the first frame of a video, then the tokens that change most from frame to frame.",
    paper: "Bagrov et al., 2025, arXiv 2510.14624",
    requiredInputs: ["image_features"],
    parameters: [FrameCount.parameter],
    deviations: [
      "The budget is exact, so that one smaller than a frame keeps the first tokens of the first frame; vLLM"
        + " keeps that frame whole.",
      "Cosines are float64; the cosine with a zero row is 0.",
    ],
    budget: "The kept tokens of all frames together, exactly that many.",
    properties: [.nested, .scaleInvariant],
    facts: MethodFacts(
      .video, isQuestionAware: false, cost: "O(N D)",
      reported: ["first token up to 4 times sooner with minimal loss": "arXiv 2510.14624"]))

  static let firstFrameScore = 255.0

  private let frames: FrameCount

  init(_ parameters: Parameters) { frames = FrameCount(parameters) }

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    let features = try input.features()
    // As one frame the first tokens would be kept.
    let size = try frames.size(of: input, comparedBy: Self.name)
    let space = CosineSpace(features)
    var steps = StepCounter(limit: input.stepLimit)
    try steps.spend(input.tokenCount * StepCounter.exactComparison(columns: features.columns))
    return (0..<input.tokenCount).map { token in
      token < size ? Self.firstFrameScore : 1 - space.exactSimilarity(token, token - size)
    }
  }
}
