/// Which axis of a tensor counts the visual tokens.
enum TokenAxis {
  private static let first: Set = [
    "image_features", "relevance_features", "encoder_features", "pixel_values",
  ]
  private static let secondToLast: Set = ["key"]
  /// Of the text, of a layer, or of a sequence around the image.
  private static let none: Set = [
    "text_features", "text_key", "text_raters", "query", "hidden_states", "norm_weight", "query_weight",
    "key_weight", "query_bias", "key_bias", "value_states",
  ]

  /// Whether the axis may have several rows for each token, one after the other.
  static func hasPatches(_ name: String) -> Bool { name == "pixel_values" }

  /// - Returns: nil for a tensor without one; of a name that is not known, which is the attention of some stage,
  ///   the last axis.
  static func of(_ name: String, rank: Int) -> Int? {
    if rank == 0 || none.contains(name) { return nil }
    if first.contains(name) { return 0 }
    if secondToLast.contains(name) { return rank >= 2 ? rank - 2 : nil }
    return rank - 1
  }
}
