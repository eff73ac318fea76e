import JSON
import PruningNumerics
import VisionLayouts

/// VidCom2 gives frames that differ from the whole video more tokens, and keeps in each those least like the video's
/// and the frame's mean.
///
/// On the half of the channels that varies least, rows normalised: v = sum over alpha in 1/8, 1/4, 1/2, 1, 2 of
/// exp(-|x - V|^2 / (2 alpha)) with V the mean row of the video, f the same with that of the frame. A frame's share is
/// r (1 + p - mean p), p = softmax over frames of (-mean v) / 0.01; its tokens with the smallest v + f are kept.
///
/// Source: Liu et al., "Video Compression Commander: Plug-and-Play Inference Acceleration for Video Large Language
/// Models", EMNLP 2025, arXiv 2505.14454; the exact count is vLLM's.
struct VidCom2: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "vidcom2",
    summary:
      "Keeps the tokens of a video that are least like its mean and their frame's, more of distinct frames.",
    paper: "Liu et al., EMNLP 2025, arXiv 2505.14454",
    requiredInputs: ["image_features"],
    parameters: [
      FrameCount.parameter,
      .init(
        "base_ratio", .number(0...1), default: nil,
        "r, the share of tokens that a frame keeps before distinctness counts: the authors' R_RATIO, 1 - pruning rate in"
          + " vLLM; absent: K / N"),
      .init(
        "variant", .choice(["vllm", "published"]), default: "vllm",
        "vllm: frames' tokens are added or dropped until the count is exact; published: the frames' own counts, at most"
          + " K in all"),
    ],
    deviations: [
      "Of channels with equal variance, and of tokens with equal scores, the lower index is taken.",
      "For vLLM's own count ask for max(frames, floor(N (1 - rate))) tokens.",
      "With `published`, what exceeds the budget is dropped as vLLM drops.",
      "LLaVA-Video puts newline rows behind each frame's tokens; the caller adds them.",
    ],
    budget: "The kept tokens of all frames together, exactly that many; at most with `published`.",
    properties: [.scaleInvariant], memory: MethodMemory(perElement: 16),
    facts: MethodFacts(
      .video, isQuestionAware: false, cost: "O(N D)", inexactParameter: "variant",
      reported: ["99.6 % of LLaVA-OneVision at 25 % of the tokens": "arXiv 2505.14454"],
      automatic: AutomaticUse(
        .video, ["image_features"], retained: 0.996,
        "gives distinct frames more tokens, and its authors report 99.6 % of LLaVA-OneVision at a quarter of the tokens"
      )))

  private let frames: FrameCount
  private let baseRatio: Double?
  private let isPublished: Bool

  init(_ parameters: Parameters) {
    frames = FrameCount(parameters)
    baseRatio = parameters.optionalNumber("base_ratio")
    isPublished = parameters.choice("variant") == "published"
  }

  var mayKeepFewer: Bool { isPublished }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let features = try input.features()
    let size = try frames.size(of: input)
    guard task.count > 0 else { return [] }
    var steps = StepCounter(limit: input.stepLimit, work: "scoring these tokens")
    try steps.spend(20 * input.tokenCount + 4 * features.values.count)
    let rows = UnitRows(features, channels: Self.quietChannels(of: features))
    let scores = Self.scores(of: rows, frameSize: size)
    let ratio = baseRatio ?? Double(task.count) / Double(max(task.candidates.count, 1))
    let shares = Self.shares(of: scores.video, frameSize: size, ratio: ratio)

    let likeness = zip(scores.video, scores.frame).map { $0 + $1 }
    let distinctness = likeness.map { -$0 }
    var kept: [Int] = []
    var first = task.candidates.startIndex
    for (frame, share) in shares.enumerated() {
      let end = task.candidates[first...].firstIndex { $0 >= (frame + 1) * size } ?? task.candidates.endIndex
      let own = Array(task.candidates[first..<end])
      first = end
      let count = min(max(roundHalfToEven(share, of: own.count), 1), own.count)
      kept += Ranking.highest(count, of: distinctness, among: own)
    }
    if kept.count > task.count {
      return Ranking.highest(task.count, of: distinctness, among: kept.sorted())
    }
    return isPublished ? kept : task.filled(kept, by: distinctness)
  }

  /// The floor(D / 2) channels, at least 1, with the lowest variance, ascending.
  static func quietChannels(of features: Matrix) -> [Int] {
    Ranking.highestAscending(
      max(features.columns / 2, 1), of: features.columnVariances().map { -$0 },
      among: Array(0..<features.columns))
  }

  /// How much each token is like the video (v) and like its frame (f).
  static func scores(of rows: UnitRows, frameSize: Int) -> (video: [Double], frame: [Double]) {
    let all = UnitRows.Point(rows.mean(of: 0..<rows.count))
    var (video, frame) = ([Double](), [Double]())
    for start in stride(from: 0, to: rows.count, by: max(frameSize, 1)) {
      let range = start..<min(start + frameSize, rows.count)
      let own = UnitRows.Point(rows.mean(of: range))
      for row in range {
        video.append(likeness(rows.squaredDistance(of: row, to: all)))
        frame.append(likeness(rows.squaredDistance(of: row, to: own)))
      }
    }
    return (video, frame)
  }

  private static func likeness(_ squaredDistance: Double) -> Double {
    [0.125, 0.25, 0.5, 1, 2].reduce(0) { $0 + exponential(-squaredDistance / (2 * $1)) }
  }

  /// The share of its tokens that each frame keeps.
  static func shares(of video: [Double], frameSize: Int, ratio: Double) -> [Double] {
    let uniqueness = stride(from: 0, to: video.count, by: max(frameSize, 1)).map { start in
      -video[start..<min(start + frameSize, video.count)].reduce(0, +) / Double(frameSize)
    }
    let weights = softmax(uniqueness, 0.01)
    let mean = weights.reduce(0, +) / Double(max(weights.count, 1))
    return weights.map { min(1, max(0, ratio * (1 + $0 - mean))) }
  }
}

/// How many frames of equal size the tokens of a video are: a parameter of methods for videos.
struct FrameCount: Sendable {
  static let parameter = ParameterDescriptor(
    "frames", .integer(1...(1 << 20)), default: nil,
    "how many frames of equal size the tokens are; absent: the frames of the layout, else 1 where the method can do without"
  )

  private let given: Int?

  init(_ parameters: Parameters) { given = parameters.optionalInteger("frames") }

  /// The tokens of a frame.
  ///
  /// - Parameter method: one that compares frames, to which a single image says nothing unless the request calls it a
  ///   frame.
  func size(of input: PruningInput, comparedBy method: String? = nil) throws(PruningError) -> Int {
    let told = input.layout?.views.count { $0.role == .frame } ?? 0
    if let method, given == nil, told == 0 { throw Self.withoutFrames(input, method) }
    let frames = given ?? max(told, 1)
    guard input.tokenCount % frames == 0 else {
      throw PruningError(
        at: "/method_parameters/frames", "\(frames) frames do not divide \(input.tokenCount) tokens evenly")
    }
    return input.tokenCount / frames
  }

  private static func withoutFrames(_ input: PruningInput, _ method: String) -> PruningError {
    if let layout = input.layout, layout.rotaryGrid != nil || layout.imageSize != nil {
      return PruningError(
        at: "/layout",
        "'\(layout.type)' describes a single image, and \(method) compares the frames of a video; give the layout of a "
          + "video, or prune images with another method")
    }
    return PruningError(
      at: "/method_parameters/frames",
      "is missing: \(method) compares the frames of a video; say how many frames the tokens are, or give a layout with "
        + "frames ('video', or 'grid_thw' with t above 1)")
  }
}

/// Some columns of a matrix, compared in float64 as if each row were divided by its length; a zero row stays zero.
struct UnitRows {
  private let matrix: Matrix
  /// 1 / length of each row; 0 for a zero row.
  private let factors: [Double]

  /// - Parameter channels: all where none are named.
  init(_ matrix: Matrix, channels: [Int]? = nil) {
    self.matrix = channels.map(matrix.gatheredColumns) ?? matrix
    factors = self.matrix.norms().map { $0 > 0 ? 1 / $0 : 0 }
  }

  var count: Int { matrix.rows }
  var columns: Int { matrix.columns }
  /// How many rows are not zero, which is the sum of their squared lengths.
  var directionCount: Int { factors.count { $0 > 0 } }

  func mean(of rows: Range<Int>) -> [Double] {
    matrix.sum(of: rows, times: factors).map { $0 / Double(rows.count) }
  }

  /// The cosine of two rows.
  func product(_ a: Int, _ b: Int) -> Double { matrix.preciseProduct(a, b) * (factors[a] * factors[b]) }

  /// |x|^2 - 2 x p + |p|^2; rounding moves it by about 1e-15, since no row is longer than 1.
  func squaredDistance(of row: Int, to point: Point) -> Double {
    let product = matrix.product(of: row, with: point.values) * factors[row]
    return max((factors[row] > 0 ? 1 : 0) - 2 * product + point.square, 0)
  }

  /// Where rows are compared with.
  struct Point {
    let values: [Double]
    let square: Double

    init(_ values: [Double]) {
      self.values = values
      square = innerProduct(values, values)
    }
  }
}
