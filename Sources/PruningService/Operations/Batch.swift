import PruningNumerics
import TensorFormats
import Tensors

/// A request's tensors, taken apart into one set per image.
///
/// A batch is made by a list of tensors (ragged is fine), by one more axis than a tensor has for one image, by
/// `batched: true`, which says that the first axis counts images wherever a tensor may have it, or by `axes`. Ranks
/// decide, never whether two extents happen to be equal; where ranks leave two readings, the request is rejected
/// (``AmbiguousReading``). In a batch, tensors that belong to an image must be batched too; a text may be shared.
struct Batch {
  let samples: [[String: Tensor]]
  /// Whether answers are lists, one entry per image; a batch of one is still a batch.
  let isBatched: Bool

  /// More images than this in one request are rejected: each costs a result, even an empty one.
  static let maximumCount = 4096

  /// - Parameters:
  ///   - axes: whose axes the request names; their tensors stand in the order of ``TensorAxes``, images first.
  ///   - isDeclaredBatched: the request's `batched`, or true where a list of layouts says the same.
  ///   - limit: asked while elements move.
  init(
    _ tensors: TensorBundle, axes: DeclaredAxes, isDeclaredBatched: Bool?, _ limit: StepLimit
  ) throws(Problem) {
    let reading = Reading(
      entries: tensors.names.compactMap { name in tensors[name].map { (name: name, entry: $0) } },
      declared: axes.isBatched, isDeclaredBatched: isDeclaredBatched)
    let entries = try AmbiguousReading.settled(reading, limit)
    let settled = Reading(entries: entries, declared: reading.declared, isDeclaredBatched: isDeclaredBatched)
    let count = try settled.count()
    guard (1...Self.maximumCount).contains(count ?? 1) else {
      throw Problem(
        .invalidInput, "a batch of \(count ?? 0) images; 1 to \(Self.maximumCount) are accepted",
        pointer: entries.first { settled.count(of: $0.entry, named: $0.name) != nil }?.name)
    }
    try AmbiguousReading.refuse(settled, count: count)
    var samples = [[String: Tensor]](repeating: [:], count: count ?? 1)
    for (name, entry) in entries {
      for index in samples.indices {
        let sample: Tensor
        var isOfBatch = false
        switch entry {
        case .many(let list): sample = try TensorAxes.checked(list[index], named: name, index: index)
        case .one(let tensor):
          if let count { isOfBatch = try settled.hasBatchAxis(tensor, named: name, count: count) }
          sample = isOfBatch ? tensor[index] : try TensorAxes.checked(tensor, named: name)
        }
        try AmbiguousReading.refuseUnordered(sample, name, settled, isOfBatch: isOfBatch)
        samples[index][name] = sample
      }
    }
    self.samples = samples
    isBatched = count != nil
  }
}

/// The axes a tensor has for one image.
struct TensorAxes {
  let ranks: ClosedRange<Int>
  /// Every order a tensor may have, from the fewest axes to the most: `[N], [heads, N] or [heads, queries, N]`.
  let description: String
  /// One for all images of a batch is fine: the question may be the same.
  let mayBeShared: Bool

  /// Names the endpoints know. Any other name is an attention row that a stage refers to.
  private static let known: [String: TensorAxes] = [
    "image_features": TensorAxes(ranks: 2...2, description: "[N, D]", mayBeShared: false),
    "encoder_features": TensorAxes(ranks: 2...2, description: "[N, E]", mayBeShared: false),
    "relevance_features": TensorAxes(ranks: 2...2, description: "[N, E]", mayBeShared: false),
    "text_features": TensorAxes(ranks: 1...2, description: "[D] or [M, D]", mayBeShared: true),
    "attention": attention,
    "reference_attention": attention,
    "query": TensorAxes(ranks: 1...2, description: "[d] or [heads, d]", mayBeShared: false),
    "key": TensorAxes(ranks: 2...3, description: "[N, d] or [heads, N, d]", mayBeShared: false),
    "text_key": TensorAxes(ranks: 2...3, description: "[M, d] or [heads, M, d]", mayBeShared: true),
    "text_raters": TensorAxes(ranks: 1...1, description: "[M]", mayBeShared: true),
    "early_attention": attention,
    "sizes": TensorAxes(ranks: 1...1, description: "[N]", mayBeShared: false),
    "already_dropped": TensorAxes(ranks: 1...1, description: "[N]", mayBeShared: false),
    "prefill_scores": TensorAxes(ranks: 1...1, description: "[N]", mayBeShared: false),
    "prefill_rank": TensorAxes(ranks: 1...1, description: "[N]", mayBeShared: false),
    "padding_mask": TensorAxes(ranks: 1...1, description: "[N]", mayBeShared: false),
    "pixel_values": TensorAxes(
      ranks: 2...2, description: "[N x patches of a token, numbers of a patch]", mayBeShared: false),
    "value_states": TensorAxes(ranks: 2...3, description: "[S, d] or [heads, S, d]", mayBeShared: false),
    "hidden_states": TensorAxes(ranks: 2...2, description: "[S, D]", mayBeShared: false),
    "norm_weight": TensorAxes(ranks: 1...1, description: "[D]", mayBeShared: true),
    "query_weight": TensorAxes(ranks: 2...2, description: "[heads d, D]", mayBeShared: true),
    "key_weight": TensorAxes(ranks: 2...2, description: "[kv_heads d, D]", mayBeShared: true),
    "query_bias": TensorAxes(ranks: 1...1, description: "[heads d]", mayBeShared: true),
    "key_bias": TensorAxes(ranks: 1...1, description: "[kv_heads d]", mayBeShared: true),
    "position_ids": TensorAxes(ranks: 1...2, description: "[N] or [3, N]", mayBeShared: false),
  ]

  private static let attention = TensorAxes(
    ranks: 1...3, description: "[N], [heads, N] or [heads, queries, N]", mayBeShared: false)

  /// Tensors that hold whole numbers; all others hold floating-point numbers, of whatever type.
  static let integerNames: Set<String> = [
    "position_ids", "sizes", "text_raters", "padding_mask", "prefill_rank",
  ]

  static let names = known.keys.sorted()

  static func isKnown(_ name: String) -> Bool { known[name] != nil }

  static func of(_ name: String) -> TensorAxes { known[name] ?? attention }

  /// Whether a tensor is read as rows of scores over the tokens, where they lie.
  static func isAttention(_ name: String) -> Bool {
    known[name].map { $0.description == attention.description } ?? true
  }

  /// How many images an entry says it holds, or nil when it says nothing of a batch.
  static func count(of entry: TensorBundle.Entry, named name: String, _ isDeclaredBatched: Bool?) -> Int? {
    switch entry {
    case .many(let list): return list.count
    case .one(let tensor):
      let ranks = of(name).ranks
      let isBatched =
        switch isDeclaredBatched {
        case true: tensor.rank > ranks.lowerBound && tensor.rank <= ranks.upperBound + 1
        case false: false
        case nil: tensor.rank == ranks.upperBound + 1
        }
      return isBatched ? tensor.shape[0] : nil
    }
  }

  /// The tensor, whose number of axes is one it may have for one image.
  ///
  /// - Parameter index: its place in a list.
  static func checked(_ tensor: Tensor, named name: String, index: Int? = nil) throws(Problem) -> Tensor {
    let axes = of(name)
    guard axes.ranks.contains(tensor.rank) else {
      throw Problem(
        .invalidInput,
        "shape \(tensor.shape) has \(tensor.rank) axes; expected \(axes.description), or name the axes in \"axes\"",
        pointer: name + (index.map { "/\($0)" } ?? ""))
    }
    return tensor
  }
}
