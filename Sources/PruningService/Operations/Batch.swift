import TensorFormats
import Tensors

/// A request's tensors, taken apart into one set per image.
///
/// A batch is made by a list of tensors (ragged is fine), by one more axis than a tensor has for one image, or
/// by `batched: true`. In a batch, tensors that belong to an image must be batched too; a text may be shared.
struct Batch {
  let samples: [[String: Tensor]]
  /// Whether answers are lists, one entry per image; a batch of one is still a batch.
  let isBatched: Bool

  /// More images than this in one request are refused: each costs a result, even an empty one.
  static let maximumCount = 4096

  init(_ tensors: TensorBundle, isDeclaredBatched: Bool?) throws(Problem) {
    guard let count = try Self.count(tensors, isDeclaredBatched: isDeclaredBatched) else {
      var sample: [String: Tensor] = [:]
      for name in tensors.names {
        guard case .one(let tensor) = tensors[name] else { continue }
        try Self.check(tensor, named: name, axesAbove: 0)
        sample[name] = tensor
      }
      samples = [sample]
      isBatched = false
      return
    }
    guard count <= Self.maximumCount else {
      throw Problem(.invalidInput, "a batch of \(count) images; at most \(Self.maximumCount) are accepted")
    }
    var samples = [[String: Tensor]](repeating: [:], count: count)
    for name in tensors.names {
      switch tensors[name] {
      case .many(let list):
        for (index, tensor) in list.enumerated() {
          try Self.check(tensor, named: "\(name)/\(index)", as: name, axesAbove: 0)
          samples[index][name] = tensor
        }
      case .one(let tensor):
        if try Self.hasBatchAxis(tensor, named: name, count: count, isDeclared: isDeclaredBatched == true) {
          for index in 0..<count { samples[index][name] = tensor[index] }
        } else {
          try Self.check(tensor, named: name, axesAbove: 0)
          for index in 0..<count { samples[index][name] = tensor }
        }
      case nil: break
      }
    }
    self.samples = samples
    isBatched = true
  }

  /// The number of images when the tensors form a batch.
  private static func count(_ tensors: TensorBundle, isDeclaredBatched: Bool?) throws(Problem) -> Int? {
    var found: (name: String, count: Int)?
    func agree(_ name: String, _ count: Int) throws(Problem) {
      if let found, found.count != count {
        throw Problem(
          .invalidInput, "holds \(count) images, but \(found.name) holds \(found.count)", pointer: name)
      }
      if found == nil { found = (name, count) }
    }
    for name in tensors.names {
      switch tensors[name] {
      case .many(let list):
        if isDeclaredBatched == false {
          throw Problem(.invalidInput, "is a list of tensors, but batched is false", pointer: name)
        }
        try agree(name, list.count)
      case .one(let tensor):
        let axes = TensorAxes.of(name)
        if tensor.rank == axes.ranks.upperBound + 1, isDeclaredBatched != false {
          try agree(name, tensor.shape[0])
        } else if isDeclaredBatched == true, !axes.mayBeShared, tensor.rank > axes.ranks.lowerBound {
          try agree(name, tensor.shape[0])
        }
      case nil: break
      }
    }
    if isDeclaredBatched == true, found == nil {
      throw Problem(.invalidInput, "is true, but no tensor has a batch axis", pointer: "/batched")
    }
    return found?.count
  }

  private static func hasBatchAxis(
    _ tensor: Tensor, named name: String, count: Int, isDeclared: Bool
  ) throws(Problem) -> Bool {
    let axes = TensorAxes.of(name)
    if tensor.rank == axes.ranks.upperBound + 1 {
      try check(tensor, named: name, axesAbove: 1)
      return true
    }
    // [2, N] may be two heads of one image or one row for each of two: in a batch it is the latter.
    if tensor.rank > axes.ranks.lowerBound, tensor.shape[0] == count, isDeclared || !axes.mayBeShared {
      return true
    }
    if axes.mayBeShared { return false }
    throw Problem(
      .invalidInput,
      "shape \(tensor.shape) has no leading axis of \(count) images, as the other tensors have",
      pointer: name)
  }

  private static func check(
    _ tensor: Tensor, named pointer: String, as name: String? = nil, axesAbove: Int
  ) throws(Problem) {
    let axes = TensorAxes.of(name ?? pointer)
    let ranks = (axes.ranks.lowerBound + axesAbove)...(axes.ranks.upperBound + axesAbove)
    guard ranks.contains(tensor.rank) else {
      throw Problem(
        .invalidInput, "shape \(tensor.shape) has \(tensor.rank) axes; expected \(axes.description)",
        pointer: pointer)
    }
  }
}

/// The axes a tensor has for one image.
struct TensorAxes {
  let ranks: ClosedRange<Int>
  let description: String
  /// One for all images of a batch is fine: the question may be the same.
  let mayBeShared: Bool

  /// Names the endpoints know. Any other name is an attention row that a stage refers to.
  private static let known: [String: TensorAxes] = [
    "image_features": TensorAxes(ranks: 2...2, description: "[N, D]", mayBeShared: false),
    "relevance_features": TensorAxes(ranks: 2...2, description: "[N, E]", mayBeShared: false),
    "text_features": TensorAxes(ranks: 1...2, description: "[D] or [M, D]", mayBeShared: true),
    "attention": attention,
    "reference_attention": attention,
    "query": TensorAxes(ranks: 1...2, description: "[d] or [heads, d]", mayBeShared: false),
    "key": TensorAxes(ranks: 2...3, description: "[N, d] or [heads, N, d]", mayBeShared: false),
    "position_ids": TensorAxes(ranks: 1...2, description: "[N] or [3, N]", mayBeShared: false),
  ]

  private static let attention = TensorAxes(
    ranks: 1...3, description: "[N], [heads, N] or [heads, queries, N]", mayBeShared: false)

  static var names: [String] { known.keys.sorted() }

  static func of(_ name: String) -> TensorAxes { known[name] ?? attention }
}
