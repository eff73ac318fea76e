import PruningNumerics
import TensorFormats
import Tensors

/// Shapes that can be read in two ways, and orders that the field's own code writes.
///
/// What only one reading fits is settled by it; what two fit is rejected, with what to send so that one is meant.
enum AmbiguousReading {
  /// More heads than any model has: the largest have 128.
  static let mostHeads = 128

  /// The entries, with those in an order of the field's own brought into that of ``TensorAxes``.
  ///
  /// - Parameter limit: asked while elements move.
  static func settled(
    _ reading: Reading, _ limit: StepLimit
  ) throws(Problem) -> [(name: String, entry: TensorBundle.Entry)] {
    var entries = reading.entries
    for (index, (name, entry)) in entries.enumerated() where reading.declared[name] == nil {
      guard case .one(let tensor) = entry else { continue }
      if name == "position_ids" {
        entries[index].entry = .one(try positionIDs(tensor, reading, limit))
      } else if name == "query" {
        entries[index].entry = .one(try query(tensor, reading, limit))
      } else if TensorAxes.isAttention(name), isMap(tensor), reading.isDeclaredBatched != true {
        entries[index].entry = .one(try tensor.reordered(by: [nil, 0, 1], limit))
      }
    }
    return entries
  }

  /// More rows than there are heads: the map of one head, [queries, N].
  private static func isMap(_ tensor: Tensor) -> Bool { tensor.rank == 2 && tensor.shape[0] > mostHeads }

  /// [heads, queries, N] with more queries than any model has heads: they cannot be the heads of images.
  private static func isMapOfHeads(_ tensor: Tensor) -> Bool {
    tensor.rank == 3 && tensor.shape[1] > mostHeads
  }

  /// Position ids as `transformers` holds them: [B, N], [3, B, N], or [4, B, N] with those of text in front.
  private static func positionIDs(
    _ tensor: Tensor, _ reading: Reading, _ limit: StepLimit
  ) throws(Problem) -> Tensor {
    let others = Reading(
      entries: reading.entries.filter { $0.name != "position_ids" }, declared: reading.declared,
      isDeclaredBatched: reading.isDeclaredBatched == true ? nil : reading.isDeclaredBatched)
    let count = try others.count()
    let isBatch = count != nil || reading.isDeclaredBatched == true
    let components = 3...4
    switch tensor.rank {
    case 2 where tensor.shape[0] == 1 && !isBatch: return tensor[0]
    case 3:
      let isFirst = components.contains(tensor.shape[0])
      let isSecond = components.contains(tensor.shape[1])
      let fitsFirst = isFirst && (count ?? tensor.shape[1]) == tensor.shape[1]
      let fitsSecond = isSecond && (count ?? tensor.shape[0]) == tensor.shape[0]
      guard fitsFirst != fitsSecond else {
        throw Problem(
          .invalidInput,
          fitsFirst
            ? "shape \(tensor.shape) may be [3, images, N] or [images, 3, N]; say \"axes\": {\"position_ids\": \"cbn\"} "
              + "or \"bcn\""
            : "shape \(tensor.shape) is none of [3, images, N], [images, 3, N], or 4 in place of 3",
          pointer: "position_ids")
      }
      guard fitsFirst else { return tensor }
      if tensor.shape[1] == 1, !isBatch { return try tensor.reordered(by: [0, 2], limit) }
      return try tensor.reordered(by: [1, 0, 2], limit)
    default: return tensor
    }
  }

  /// The query of one position with the axis of positions left in, [heads, 1, d].
  private static func query(
    _ tensor: Tensor, _ reading: Reading, _ limit: StepLimit
  ) throws(Problem) -> Tensor {
    guard tensor.rank == 3, tensor.shape[1] == 1, tensor.shape[0] > 1, reading.isDeclaredBatched != true
    else {
      return tensor
    }
    if reading.isDeclaredBatched == false { return try tensor.reordered(by: [0, 2], limit) }
    let key = reading.entries.first { $0.name == "key" }
    guard case .one(let keys)? = key?.entry, keys.rank <= 3, reading.declared["key"] != true else {
      return tensor
    }
    guard keys.rank == 2 || keys.shape[0] != tensor.shape[0] else {
      throw Problem(
        .invalidInput,
        "shape \(tensor.shape) beside a key \(keys.shape) may be \(tensor.shape[0]) heads of one image or "
          + "\(tensor.shape[0]) images of one head; say \"batched\": false or true",
        pointer: "query")
    }
    return try tensor.reordered(by: [0, 2], limit)
  }

  /// - Parameter count: the images of the batch.
  static func refuse(_ reading: Reading, count: Int?) throws(Problem) {
    for (name, entry) in reading.entries where reading.declared[name] == nil {
      guard case .one(let tensor) = entry else { continue }
      if let count {
        try refuseSharing(tensor, name, count, reading)
        try refuseMapOfFeatures(tensor, name, count, reading)
      } else {
        try refuseImagesAsHeads(tensor, name, reading)
      }
    }
  }

  /// [B, E] beside B images: a text for each, or B rows of text for all of them.
  private static func refuseSharing(
    _ tensor: Tensor, _ name: String, _ count: Int, _ reading: Reading
  ) throws(Problem) {
    let axes = TensorAxes.of(name)
    if name == "position_ids", tensor.rank == 2, count == tensor.shape[0], (3...4).contains(count),
      reading.isDeclaredBatched == nil
    {
      throw Problem(
        .invalidInput,
        "shape \(tensor.shape) beside \(count) images may be a row for each or three rows of one; say \"axes\": "
          + "{\"position_ids\": \"bn\"}",
        pointer: name)
    }
    guard axes.mayBeShared, reading.isDeclaredBatched == nil, count > 1, axes.ranks.contains(tensor.rank),
      tensor.rank > axes.ranks.lowerBound, tensor.shape[0] == count
    else { return }
    let letters = tensor.rank == 2 ? ("bd", "md") : ("bmd", "hmd")
    throw Problem(
      .invalidInput,
      "shape \(tensor.shape) beside \(count) images may be one for each image, or shared by all of them; say "
        + "\"axes\": {\"\(name)\": \"\(letters.0)\"} or \"\(letters.1)\"",
      pointer: name)
  }

  /// [B, heads, N] of images, or [heads, queries, N] of one; keys [B, N, d], or [heads, N, d].
  private static func refuseImagesAsHeads(
    _ tensor: Tensor, _ name: String, _ reading: Reading
  ) throws(Problem) {
    let isAttention = TensorAxes.isAttention(name)
    guard tensor.rank == 3, isAttention || name == "key" else { return }
    guard !reading.isCertainlyOneImage else {
      guard isAttention, reading.isDeclaredBatched == nil, tensor.shape[0] == 1,
        (2...mostHeads).contains(tensor.shape[1])
      else { return }
      throw Problem(
        .invalidInput,
        "shape \(tensor.shape) may be \(tensor.shape[1]) queries of one head, or \(tensor.shape[1]) heads behind an axis of "
          + "one image; say \"axes\": {\"\(name)\": \"hqn\"} or \"1hn\"",
        pointer: name)
    }
    // One image of one head, or heads of one query row each, as the last row of a prompt is sent.
    if isAttention ? tensor.shape[1] == 1 || isMapOfHeads(tensor) : tensor.shape[0] == 1 { return }
    if !isAttention, reading.entries.contains(where: { $0.name == "query" }) { return }
    let letters = isAttention ? ("hqn", "bhn") : ("hnd", "bnd")
    let meanings =
      isAttention
      ? "[heads, queries, N] of one image or [images, heads, N]"
      : "[heads, N, d] of one image or [images, N, d]"
    throw Problem(
      .invalidInput,
      "shape \(tensor.shape) may be \(meanings); say \"batched\": false or true, or \"axes\": {\"\(name)\": "
        + "\"\(letters.0)\"} or \"\(letters.1)\"",
      pointer: name)
  }

  /// The side of the smallest grid that a vision encoder makes; smaller squares are too few tokens to be mistaken.
  private static let smallestGrid = 7

  /// Two axes of one image whose order only the request can tell.
  ///
  /// - Parameters:
  ///   - tensor: of one image.
  ///   - isOfBatch: whether the request has it behind an axis of images.
  static func refuseUnordered(
    _ tensor: Tensor, _ name: String, _ reading: Reading, isOfBatch: Bool
  ) throws(Problem) {
    guard reading.declared[name] == nil else { return }
    let images = isOfBatch ? "b" : ""
    if TensorAxes.isAttention(name) {
      try refuseSquare(tensor, name, reading, images)
    } else if TensorAxes.of(name).ranks == 2...3 {
      try refuseRowsAsHeads(tensor, name, images)
    }
  }

  /// [N, N] may be heads, a whole attention map, or the scores of a square grid in its two dimensions.
  private static func refuseSquare(
    _ tensor: Tensor, _ name: String, _ reading: Reading, _ images: String
  ) throws(Problem) {
    guard tensor.rank == 2, tensor.shape[0] == tensor.shape[1], tensor.shape[0] >= smallestGrid,
      reading.isDeclaredBatched != false
    else { return }
    let side = tensor.shape[0]
    throw Problem(
      .invalidInput,
      "shape \(tensor.shape) may be \(side) heads of \(side) tokens, a whole attention map, or the scores of a grid; say "
        + "\"axes\": {\"\(name)\": \"\(images)hn\"} or \"\(images)qn\", or send a grid's scores as [\(side * side)]",
      pointer: name)
  }

  /// [heads, rows, d] with as many heads as rows may be [rows, heads, d]. Of `value_states` nothing else tells the rows,
  /// and a model has fewer heads than a sequence has rows.
  private static func refuseRowsAsHeads(_ tensor: Tensor, _ name: String, _ images: String) throws(Problem) {
    guard tensor.rank == 3, tensor.shape[0] >= smallestGrid,
      tensor.shape[0] == tensor.shape[1] || name == "value_states" && tensor.shape[0] > tensor.shape[1]
    else { return }
    let rows = String(TensorAxes.of(name).orders[0].prefix(1))
    throw Problem(
      .invalidInput,
      "shape \(tensor.shape) may be \(tensor.shape[0]) heads of \(tensor.shape[1]) rows, or \(tensor.shape[0]) rows of "
        + "\(tensor.shape[1]) heads; say \"axes\": {\"\(name)\": \"\(images)h\(rows)d\"} or \"\(images)\(rows)hd\"",
      pointer: name)
  }

  /// [H, W, D] or [D, H, W] of one image, which would be read as H or D images.
  private static func refuseMapOfFeatures(
    _ tensor: Tensor, _ name: String, _ count: Int, _ reading: Reading
  ) throws(Problem) {
    guard name == "image_features", tensor.rank == 3, reading.isDeclaredBatched == nil,
      tensor.shape[0] == count, tensor.shape[1] >= smallestGrid,
      tensor.shape[0] == tensor.shape[1]
        || tensor.shape[1] == tensor.shape[2] && tensor.shape[0] > tensor.shape[1],
      !reading.entries.contains(where: {
        $0.name != name && reading.count(of: $0.entry, named: $0.name) == count
      })
    else { return }
    throw Problem(
      .invalidInput,
      "shape \(tensor.shape) may be \(count) images, or the feature map of one; for images say \"batched\": true, and send a "
        + "feature map as [N, D], row by row",
      pointer: name)
  }

  /// The one tensor of an npy body that nobody named: many rows and few columns are features, not scores.
  static func refuseUnnamed(_ tensor: Tensor, readAs name: String) throws(Problem) {
    guard TensorAxes.isAttention(name), tensor.rank == 2, tensor.shape[0] >= 16,
      tensor.shape[0] > tensor.shape[1] || tensor.shape[0] > mostHeads
    else { return }
    throw Problem(
      .invalidInput,
      "shape \(tensor.shape) would be \(tensor.shape[0]) heads of \(tensor.shape[1]) tokens, and looks like features; "
        + "name the tensor: ?tensor=image_features, or ?tensor=\(name) if it is scores",
      pointer: name)
  }
}
