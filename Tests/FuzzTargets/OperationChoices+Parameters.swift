import JSON
import PruningService
import Tensors
import TokenPruning

extension OperationChoices {
  static let numbers: [JSONValue] = [
    0, 1, 2, 3, 0.5, 0.25, 4, 16, 64, 1_000_000, -1, 1e308, -1e308, 1e-300, .integer(.max), .integer(.min),
    .integer(1 << 62), .integer(1 << 31), .null, true, "x", [], [:],
  ]

  mutating func parameters(
    for operation: PruningService.Operation, _ descriptor: MethodDescriptor, _ batch: Int?
  ) -> JSONObject {
    var given = JSONObject()
    if operation != .localize, !choices.chance(8) {
      let (name, amount) = budget()
      given[name] = amount
    }
    if operation != .localize, !choices.chance(6) {
      given["method"] = .string(descriptor.name)
      let own = ownParameters(descriptor)
      if own.names.first != nil { given["method_parameters"] = .object(own) }
    }
    for _ in 0..<(choices.byte() % 4) {
      let name = choices.pick(operation.parameterNames)
      given[name] = value(of: name, batch)
    }
    if batch != nil, !choices.chance(4) { given["batched"] = true }
    return given
  }

  mutating func ownParameters(_ descriptor: MethodDescriptor) -> JSONObject {
    var own = JSONObject()
    for _ in 0..<(choices.byte() % 3) where !descriptor.parameters.isEmpty {
      let parameter = choices.pick(descriptor.parameters)
      own[parameter.name] = value(of: parameter)
    }
    return own
  }

  /// Of its kind and range mostly.
  private mutating func value(of parameter: ParameterDescriptor) -> JSONValue {
    if choices.chance(5) { return choices.pick(Self.numbers) }
    switch parameter.kind {
    case .boolean: return choices.pick([true, false])
    case .choice(let names): return .string(choices.pick(names))
    case .integer(let range):
      return .integer(choices.pick([range.lowerBound, range.upperBound, 1, 2, 3, 64]))
    case .number(let range):
      return .number(choices.pick([range.lowerBound, range.upperBound, 0.5, 1]))
    }
  }

  mutating func value(of name: String, _ batch: Int?) -> JSONValue {
    switch name {
    case "layout": return choices.chance(4) ? .array((0..<(batch ?? 1)).map { _ in layout() }) : layout()
    case "stages": return stages()
    case "region": return region()
    case "localize":
      if choices.chance(4) { return choices.pick([true, false, [:], "x"]) }
      return localization()
    case "region_policy": return choices.pick(RegionPolicy.names.map { .string($0) } + ["x"])
    case "budget_scope": return choices.pick(["image", "tile", "request", "all"])
    case "newline_policy": return choices.pick(["keep", "count", "drop"])
    case "explain", "renumber": return choices.pick([true, false])
    case "anchors": return choices.pick(["diversity", "strided", "attention", "density_peaks"])
    case "mode": return choices.pick(["merge", "resampler"])
    case "dtype": return .string(choices.pick(ElementType.allCases).rawValue)
    case "model_dimensions":
      return object(
        of: ["hidden", "layers", "heads", "intermediate"],
        or: ["kv_heads", "dtype_bytes", "text_tokens", "gated"], usually: [1, 2, 32, 4096, true])
    case "break_even":
      return object(of: ["tflops"], or: BreakEvenRequest.names, usually: [1, 100, 0.5, "http", "shm"])
    case "previous":
      var previous: JSONObject = [
        "kept_indices": .array((0..<min(tokenCount, choices.pick([1, 2, 8, 64]))).map { .integer($0) })
      ]
      if choices.chance(3) {
        previous["tokens"] = choices.chance(3) ? choices.pick(Self.numbers) : .integer(tokenCount)
      }
      return .object(previous)
    case "bookkeeping":
      return choices.pick([
        true, false, [:], ["text_tokens": [1, 200]], ["text_tokens": [.integer(1 << 20), 0]],
        ["timestamps": [0.5, 1]], ["text_tokens": [], "timestamps": [1e308]],
      ])
    case "axes":
      return choices.pick([
        ["image_features": "nd"], ["image_features": "dn"], ["attention": "hn"], ["attention": "n"],
        ["image_features": "bnd"], ["attention": "nh", "image_features": "dnb"], ["image_features": 1], [:],
      ])
    case "tensor_dtype": return .string(choices.pick(ElementType.allCases).rawValue)
    default: return choices.pick(Self.numbers)
    }
  }

  private mutating func localization() -> JSONValue {
    let objective = choices.pick(["separation", "coverage", "contrast", "vicrop"])
    var given: JSONObject = ["objective": .string(objective)]
    if choices.chance(2) {
      given["source"] = choices.pick([
        "attention", "similarity", "relative_attention", "query_key", "model", "x",
      ])
    }
    let others =
      ["max_regions", "minimum_contrast", "minimum_overlap", "similarity_sign", "temperature"]
      + [
        "coverage": ["coverage", "baseline"], "contrast": ["area_power"],
        "vicrop": ["base", "image_size", "faithful"],
      ][objective, default: ["model"]]
    for _ in 0..<(choices.byte() % 4) {
      let name = choices.pick(others)
      given[name] =
        switch name {
        case "image_size": [336, 672]
        case "baseline": choices.pick(["mean", "minimum", "x"])
        case "similarity_sign": choices.pick(["positive", "negative"])
        case "max_regions": choices.pick([1, 2, 3, 16])
        case "base": choices.pick([14, 336, 4096])
        case "faithful": choices.pick([true, false])
        default: choices.chance(3) ? choices.pick(Self.numbers) : choices.pick([0.5, 0.01, 0, 1])
        }
    }
    return .object(given)
  }

  mutating func layout() -> JSONValue {
    if tokenCount > 0, !choices.chance(3) { return fittingLayout() }
    var layout: JSONObject = ["type": .string(choices.pick(Self.layouts))]
    for _ in 0..<(choices.byte() % 6) {
      let name = choices.pick(Self.layoutMembers)
      layout[name] =
        switch name {
        case "image_size", "grid", "tile_size", "slice_size", "crop":
          [choices.pick(Self.sides), choices.pick(Self.sides)]
        case "grid_thw": [choices.pick(Self.sides), choices.pick(Self.sides), choices.pick(Self.sides)]
        case "image_sizes", "grid_pinpoints": [[choices.pick(Self.sides), choices.pick(Self.sides)]]
        case "newline": choices.pick([true, false, "row", "image", "x"])
        default: choices.pick(Self.sides)
        }
    }
    return .object(layout)
  }

  /// One that has as many tokens as the tensors.
  private mutating func fittingLayout() -> JSONValue {
    let rows = [8, 5, 4, 3, 2, 1].first { tokenCount % $0 == 0 } ?? 1
    let columns = tokenCount / rows
    switch choices.byte() % 6 {
    case 0, 1: return ["type": "grid", "rows": .integer(rows), "columns": .integer(columns)]
    case 2: return ["type": "video", "frames": .integer(rows), "rows": 1, "columns": .integer(columns)]
    case 3: return ["type": "video", "frames": .integer(columns), "rows": .integer(rows), "columns": 1]
    case 4:
      let patches: JSONValue = [1, .integer(2 * rows), .integer(2 * columns)]
      return ["type": choices.pick(["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v"]), "grid_thw": patches]
    default: return ["type": "raw", "tokens": .integer(tokenCount)]
    }
  }

  private static let layouts = [
    "grid", "llava", "llava_next", "llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl",
    "gemma3",
    "idefics3", "smolvlm", "pixtral", "minicpm_v", "glm4v", "deepseek_vl2", "kimi_vl", "molmo", "molmo2",
    "video",
    "raw", "x",
  ]
  private static let layoutMembers = [
    "rows", "columns", "frames", "image_size", "image_sizes", "grid", "grid_thw", "grid_pinpoints", "tokens",
    "tile_rows", "tile_columns", "tile_size", "tiles", "min_tiles", "max_tiles", "merge_size", "patch_size",
    "temporal_patch_size", "thumbnail", "newline", "images", "breaks", "crop", "longest_edge", "max_crops",
    "max_patches", "max_side", "max_slices", "min_crop_size", "min_ratio", "overlap", "pan_and_scan",
    "scale_factor", "second_per_grid", "slice_size", "split", "tokens_per_second", "tokens_per_side",
    "min_pixels", "max_pixels",
  ]
  private static let sides: [JSONValue] = [
    1, 2, 3, 4, 8, 12, 24, 0, 336, 672, 1_000_000, -1, .integer(.max), .integer(1 << 32), true, 0.5, "x",
  ]

  /// Possible mostly.
  private mutating func budget() -> (name: String, amount: JSONValue) {
    let name = choices.pick(TokenBudget.names)
    if choices.chance(6) { return (name, choices.pick(Self.numbers)) }
    guard name == "keep_tokens" else { return (name, choices.pick([0.5, 0.25, 0, 1, 0.9])) }
    return (name, .integer(choices.pick([1, 2, 3, tokenCount / 2, tokenCount, 16])))
  }

  /// All of `required` mostly, and some of `others`.
  private mutating func object(
    of required: [String], or others: [String], usually values: [JSONValue]
  ) -> JSONValue {
    var object = JSONObject()
    for name in required where !choices.chance(12) {
      object[name] = choices.chance(6) ? choices.pick(Self.numbers) : choices.pick(values)
    }
    for _ in 0..<(choices.byte() % 4) {
      let name = choices.pick(others)
      object[name] = choices.chance(3) ? choices.pick(Self.numbers) : choices.pick(values)
    }
    return .object(object)
  }

  private mutating func stages() -> JSONValue {
    if choices.chance(6) { return choices.pick(["192", "64", "x", 192, 0.5]) }
    let count = choices.chance(24) ? choices.pick([64, 65]) : choices.pick([1, 2, 3])
    return .array(
      (0..<count).map { index in
        var stage: JSONObject = ["layer": choices.chance(8) ? choices.pick(Self.numbers) : .integer(index)]
        let (name, amount) = budget()
        stage[name] = amount
        if choices.chance(4) { stage["attention"] = .string(choices.pick(Self.names)) }
        return .object(stage)
      })
  }

  private mutating func region() -> JSONValue {
    if !choices.chance(3) {
      return choices.pick([
        ["blocks": [0, 0, 1, 1]], ["box": [0, 0.25, 0.5, 0.75]],
        [["blocks": [0, 0, 0, 0]], ["box": [0, 0, 1, 1]]],
        ["blocks": [2, 2, 7, 7]], ["text": "<box>[[250, 500, 750, 1000]]</box>"],
      ])
    }
    let numbers = (0..<choices.pick([4, 2, 5])).map { _ in choices.pick(Self.numbers) }
    return switch choices.byte() % 4 {
    case 0: ["blocks": .array(numbers)]
    case 1: ["box": .array(numbers)]
    case 2: ["text": .string("<box>[\(numbers.map(\.description).joined(separator: ", "))]</box>")]
    default: [["blocks": .array(numbers)], ["box": .array(numbers)]]
    }
  }
}
