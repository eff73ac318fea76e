import JSON
import PruningNumerics
import PruningService
import TensorFormats
import Tensors
import TokenPruning

extension FuzzTarget {
  /// A whole operation, comparison or plan, on tensors and parameters that are made of the input's bytes by choice: shapes,
  /// element types, values, methods and what they take, layouts, regions, stages and batches, with extreme numbers among
  /// all of them. Most are small, so that thousands are tried in a second; one in sixty-four has thousands of tokens.
  static let operation = FuzzTarget("operation", maximumBytes: 512) { bytes throws(BrokenLaw) in
    var request = OperationChoices(bytes)
    let subject = request.choices.byte()
    let form = request.choices.byte()
    switch subject % 8 {
    case 6:
      let document = request.document(for: .prune, comparing: true)
      try checkComparison(document, form)
    case 7:
      let parameters = request.plan()
      try checkPlan(parameters)
    default:
      let operation = PruningService.Operation.allCases[subject % 8 % PruningService.Operation.allCases.count]
      let document = request.document(for: operation, comparing: false)
      try checkOperation(operation, document, form)
    }
  }

  /// What needs longer is rejected for that; libFuzzer's own timeout notices what does not ask. Nothing small takes so
  /// long, and what large inputs do after these milliseconds is what they did before.
  private static func overdue() -> @Sendable () -> Bool {
    let deadline = ContinuousClock.now + .milliseconds(20)
    return { ContinuousClock.now >= deadline }
  }

  private static func checkOperation(
    _ operation: PruningService.Operation, _ document: TensorDocument, _ form: Int
  ) throws(BrokenLaw) {
    guard let answer = try answer(operation, document) else { return }
    try require(answer.keptCount >= 0 && answer.tokenCount >= 0, "counts are counts")
    let isAskedTwice = form / 8 % 8 == 0
    let again = isAskedTwice ? try self.answer(operation, document) : nil
    if form % 4 == 3 {
      if answer.tokenCount <= 100_000 { try requirePicture(answer.picture()) }
      return
    }
    let format = TensorFormats.answers[form % 4 % TensorFormats.answers.count]
    let encoded = Result { () throws(Problem) in try answer.encoded(as: format) }
    switch encoded {
    case .success(let bytes):
      if format.name == JSONTensorFormat.name { try requireObject(bytes) }
    case .failure(let problem):
      try require([415, 422].contains(problem.status), "an answer has a form or says why not")
    }
    guard let again else { return }
    let second = Result { () throws(Problem) in try again.encoded(as: format) }
    try require(second == encoded, "the same document gets the same answer")
  }

  /// - Returns: nil where there is none, for a good reason.
  private static func answer(
    _ operation: PruningService.Operation, _ document: TensorDocument
  ) throws(BrokenLaw) -> Answer? {
    do throws(Problem) {
      return try operation.run(document, isOverdue: overdue())
    } catch {
      try requireReason(error)
      return nil
    }
  }

  private static func checkComparison(_ document: TensorDocument, _ form: Int) throws(BrokenLaw) {
    let comparison: Comparison
    do throws(Problem) {
      comparison = try CompareOperation.run(document, isOverdue: overdue())
    } catch {
      return try requireReason(error)
    }
    try require(
      (0...comparison.tokenCount * comparison.entries.count).contains(comparison.keptCount),
      "counts are counts")
    if form % 2 == 0 {
      try requireObject(Array(JSONValue.object(comparison.json).description.utf8))
    } else if comparison.tokenCount <= 10_000 {
      try requirePicture(comparison.picture())
    }
  }

  private static func checkPlan(_ parameters: JSONObject) throws(BrokenLaw) {
    let plan: JSONObject
    do throws(Problem) {
      plan = try PlanOperation.run(parameters, isOverdue: overdue())
    } catch {
      return try requireReason(error)
    }
    try requireObject(Array(JSONValue.object(plan).description.utf8))
  }

  private static func requireReason(_ problem: Problem) throws(BrokenLaw) {
    try require([422, 503].contains(problem.status), "\(problem.status) is no answer to a whole document")
    try require(!problem.detail.isEmpty, "a problem says what is wrong")
  }

  private static func requirePicture(_ bytes: [UInt8]) throws(BrokenLaw) {
    try require(
      bytes.starts(with: Array("<svg ".utf8)) && bytes.suffix(7) == Array("</svg>\n".utf8)[...],
      "a picture is a document")
  }

  private static func requireObject(_ bytes: [UInt8]) throws(BrokenLaw) {
    let again = try? JSONValue.parse(bytes[...])
    try require(again?.objectValue != nil, "an answer in JSON is JSON")
  }
}

/// Takes an input apart into choices; one that is used up chooses the first of everything.
struct Choices {
  private let bytes: [UInt8]
  private var next = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func byte() -> Int {
    guard next < bytes.count else { return 0 }
    next += 1
    return Int(bytes[next - 1])
  }

  mutating func pick<Element>(_ list: [Element]) -> Element { list[byte() % list.count] }

  /// One in `count`, never once the input is used up.
  mutating func chance(_ count: Int) -> Bool { byte() % count == 1 }
}

private struct OperationChoices {
  var choices: Choices
  private var tokenCount = 0
  private var width = 1
  private var heads = 1
  private var sharedHeads = 1
  private var headWidth = 1
  /// Whether this is one of the few inputs that are large.
  private var isLarge = false

  init(_ bytes: [UInt8]) { choices = Choices(bytes) }

  /// - Parameter comparing: whether it is about several methods.
  mutating func document(for operation: PruningService.Operation, comparing: Bool) -> TensorDocument {
    isLarge = choices.chance(64)
    tokenCount = choices.pick(isLarge ? [144, 576, 1024, 4096] : [4, 1, 2, 3, 9, 16, 25, 36, 64, 0])
    width = choices.pick(isLarge ? [8, 33, 64] : [1, 2, 3, 8, 17])
    heads = choices.pick([1, 2, 4])
    sharedHeads = choices.chance(3) ? choices.pick([1, 2, 3]) : heads
    headWidth = choices.pick([2, 4, 1])
    var batch: [Int] = choices.chance(5) ? [choices.pick([1, 2, 3])] : []
    if !batch.isEmpty, choices.chance(16) { batch = [40] }
    var tensors: [String: TensorBundle.Entry] = [:]
    for name in ["image_features", "attention"] where !choices.chance(6) {
      tensors[name] = entry(batch + usualShape(of: name))
    }
    // What the method cannot do without comes along mostly.
    let descriptor = choices.pick(MethodRegistry.standard.descriptors)
    if operation != .localize, !choices.chance(3) {
      for name in descriptor.requiredInputs + descriptor.optionalInputs where !choices.chance(4) {
        tensors[name] = entry(batch + usualShape(of: name))
      }
    }
    for _ in 0..<(choices.byte() % 4) {
      let name = choices.pick(Self.names)
      tensors[name] = entry(batch + usualShape(of: name))
    }
    var parameters = parameters(for: operation, descriptor, batch.first)
    if comparing {
      parameters["methods"] = methods(parameters["method"])
      for name in ["method", "method_parameters", "stages", "explain", "renumber"] where !choices.chance(16) {
        parameters[name] = nil
      }
    }
    return TensorDocument(tensors: TensorBundle(tensors), parameters: parameters)
  }

  /// Parameters without tensors.
  mutating func plan() -> JSONObject {
    let count = choices.pick([1, 2, 3])
    let descriptor = choices.pick(MethodRegistry.standard.descriptors)
    var given = parameters(for: .prune, descriptor, count)
    if !choices.chance(8) {
      given["layout"] = choices.chance(4) ? .array((0..<count).map { _ in layout() }) : layout()
    }
    for name in ["model_dimensions", "break_even"] where choices.chance(3) {
      given[name] = value(of: name, count)
    }
    return given
  }

  private mutating func methods(_ first: JSONValue?) -> JSONValue {
    if choices.chance(12) { return choices.pick(Self.numbers) }
    var list = [first ?? "uniform"]
    for _ in 0..<choices.pick([1, 2, 0, 4]) {
      let descriptor = choices.pick(MethodRegistry.standard.descriptors)
      list.append(
        choices.chance(3)
          ? ["method": .string(descriptor.name), "method_parameters": .object(ownParameters(descriptor))]
          : .string(descriptor.name))
    }
    return .array(list)
  }

  private static let names = [
    "image_features", "encoder_features", "relevance_features", "text_features", "attention",
    "reference_attention", "query", "key", "text_key", "text_raters", "early_attention", "sizes",
    "already_dropped", "prefill_scores", "prefill_rank", "padding_mask", "pixel_values", "value_states",
    "hidden_states", "norm_weight", "query_weight", "key_weight", "query_bias", "key_bias", "position_ids",
    "deep",
  ]

  private mutating func usualShape(of name: String) -> [Int] {
    let sequence = tokenCount + 3
    func perHead(_ rows: Int) -> [Int] {
      sharedHeads > 1 ? [sharedHeads, rows, headWidth] : [rows, headWidth]
    }
    switch name {
    case "image_features", "encoder_features", "relevance_features": return [tokenCount, width]
    case "text_features": return isLarge ? [512, width] : choices.pick([[width], [3, width]])
    case "pixel_values": return [tokenCount * choices.pick([1, 4]), 12]
    case "query": return heads > 1 ? [heads, headWidth] : [headWidth]
    case "key": return perHead(tokenCount)
    case "text_key": return perHead(3)
    case "value_states": return perHead(sequence)
    case "text_raters": return [3]
    case "hidden_states": return [sequence, width]
    case "norm_weight": return [width]
    case "query_weight": return [heads * headWidth, width]
    case "key_weight": return [sharedHeads * headWidth, width]
    case "query_bias": return [heads * headWidth]
    case "key_bias": return [sharedHeads * headWidth]
    case "attention", "reference_attention", "early_attention":
      return choices.pick([[], [2], [2, 3], isLarge ? [1, 512] : [1, 5]]) + [tokenCount]
    case "position_ids": return choices.pick([[], [3]]) + [tokenCount]
    default: return [tokenCount]
    }
  }

  private static let extents = [
    0, 1, 2, 3, 4, 5, 16, 64, 577, 8192, 65_536, 1 << 20, 1 << 24, 1 << 24 + 1, 1 << 31, 1 << 40, 1 << 62,
    .max,
  ]
  /// So that an input takes milliseconds.
  private var mostElements: Int { isLarge ? 1 << 16 : 1 << 13 }

  private mutating func entry(_ usual: [Int]) -> TensorBundle.Entry {
    if choices.chance(12) { return .many([tensor(usual), tensor(usual)]) }
    return .one(tensor(usual))
  }

  private mutating func tensor(_ usual: [Int]) -> Tensor {
    var dimensions = usual
    for axis in dimensions.indices where choices.chance(16) {
      dimensions[axis] = choices.pick(Self.extents)
    }
    if choices.chance(24) { dimensions.append(choices.pick(Self.extents)) }
    if choices.chance(24) { dimensions = Array(dimensions.dropLast()) }
    let type = choices.pick(ElementType.allCases)
    // What is rejected, or too large to try, is replaced by what it was meant to be.
    for candidate in [dimensions, usual, [1, 1]] {
      guard let shape = try? Shape(candidate), shape.elementCount <= mostElements else { continue }
      let bytes = elements(shape, type)
      if let tensor = try? Tensor(elementType: type, shape: shape, bytes: bytes[...]) { return tensor }
    }
    preconditionFailure("one element makes a tensor")
  }

  private mutating func elements(_ shape: Shape, _ type: ElementType) -> [UInt8] {
    let (width, count) = (type.byteWidth, shape.elementCount)
    let row = max(shape.dimensions.last ?? 1, 1)
    let pattern = choices.byte() % 8
    let special = choices.pick([0, 1, 0x3c, 0x3f, 0x7c, 0x7f, 0x80, 0xff])
    var state = UInt64(choices.byte()) &+ 1
    return [UInt8](unsafeUninitializedCapacity: count * width) { buffer, written in
      for index in 0..<count {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        for byte in 0..<width {
          let isHigh = byte == width - 1
          let value: UInt64 =
            switch pattern {
            case 0: (state >> 33) & (isHigh ? 0x3f : 0xff)
            case 1: 0
            case 2: isHigh ? UInt64(special & 0x3f) : 0
            case 3: UInt64((index % row) & (isHigh ? 0x3f : 0xff))
            case 4: UInt64((index / row / 2) & (isHigh ? 0x3f : 0xff))
            case 5: state >> 40
            case 6: index % 37 == 5 ? UInt64(special) : (state >> 33) & (isHigh ? 0x3f : 0xff)
            default: UInt64(special)
            }
          buffer[index * width + byte] = UInt8(truncatingIfNeeded: value)
        }
      }
      written = count * width
    }
  }

  // MARK: Parameters

  private static let numbers: [JSONValue] = [
    0, 1, 2, 3, 0.5, 0.25, 4, 16, 64, 1_000_000, -1, 1e308, -1e308, 1e-300, .integer(.max), .integer(.min),
    .integer(1 << 62), .integer(1 << 31), .null, true, "x", [], [:],
  ]

  private mutating func parameters(
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

  private mutating func ownParameters(_ descriptor: MethodDescriptor) -> JSONObject {
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

  private mutating func value(of name: String, _ batch: Int?) -> JSONValue {
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
        true, false, [:], ["text_tokens": [1, 2]], ["text_tokens": [.integer(1 << 20), 0]],
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

  private mutating func layout() -> JSONValue {
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
