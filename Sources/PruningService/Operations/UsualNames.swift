import JSON
import Parameters
import TokenPruning

/// Names that callers use for what has another name here.
enum UsualNames {
  /// What an unknown name most likely means: a name of `known` that is spelled alike, or that others use for the same.
  static func suggestion(for name: String, among known: [String]) -> String? {
    if name.utf8.count <= 80, let meant = synonyms[name.lowercased()], known.contains(meant) { return meant }
    return nearestName(to: name, among: known)
  }

  private static let synonyms: [String: String] = {
    let groups: [String: [String]] = [
      "image_features": [
        "features", "feature", "embeds", "embeddings", "image_embeds", "image_embeddings", "visual_features",
        "vision_features", "visual_tokens", "tokens", "x",
      ],
      "attention": [
        "attn", "attentions", "attn_weights", "attention_weights", "attention_scores", "attention_map",
        "cls_attention", "cls_attn", "scores", "saliency", "heatmap",
      ],
      "text_features": [
        "text", "text_embeds", "text_embeddings", "text_embedding", "question", "query_embeds",
      ],
      "query": ["q", "queries", "query_states"],
      "key": ["k", "keys", "key_states"],
      "position_ids": ["positions", "pos_ids", "mrope_positions"],
      "keep_tokens": ["budget", "num_tokens", "top_k", "n_keep", "num_keep", "visual_token_num"],
      "keep_ratio": ["ratio", "retention_ratio", "retain_ratio", "keep"],
      "prune_ratio": ["pruning_ratio", "prune_rate", "pruning_rate", "drop_ratio"],
      "region": ["box", "bbox", "boxes", "bbox_2d", "regions", "blocks"],
      "layout": ["grid", "image_size", "grid_thw", "image_grid_thw"],
      "method": ["algorithm", "pruner"],
      "method_parameters": ["params", "parameters", "options", "kwargs", "method_params"],
    ]
    return groups.reduce(into: [:]) { result, group in
      for name in group.value { result[name] = group.key }
    }
  }()

  /// Where the name is that of a parameter of methods: which methods, and where it belongs.
  static func methodParameter(_ name: String, of method: String?) -> String? {
    let owners = MethodRegistry.standard.descriptors.filter { descriptor in
      descriptor.parameters.contains { $0.name == name }
    }.map(\.name)
    guard !owners.isEmpty else { return nil }
    let shown = method.flatMap { owners.contains($0) ? [$0] : nil } ?? owners
    let whose =
      shown.prefix(6).map { "'\($0)'" }.joined(separator: ", ") + (shown.count > 6 ? " and others" : "")
    return "'\(name)' is a parameter of the method\(shown.count > 1 ? "s" : "") \(whose) and belongs in "
      + "method_parameters: \"method_parameters\": {\"\(name)\": ...}"
  }
}
