import JSON
import Numerics
import PruningService
import TensorFormats
import Tensors
import TokenPruning

extension FuzzTarget {
  /// A whole operation on tensors and parameters that are made of the input's bytes by choice: shapes, element types,
  /// values, methods and what they take, layouts, regions, stages and batches, with extreme numbers among all of them.
  static let operation = FuzzTarget("operation", maximumBytes: 512) { bytes throws(BrokenLaw) in
    var request = OperationChoices(bytes)
    let operation = request.choices.pick(PruningService.Operation.allCases)
    let document = request.document(for: operation)
    // What needs longer is rejected for that; libFuzzer's own timeout notices what does not ask.
    let deadline = ContinuousClock.now + .milliseconds(200)
    let result = Result { () throws(Problem) in
      try operation.run(document, isOverdue: { ContinuousClock.now >= deadline })
    }
    switch result {
    case .failure(let problem):
      try require([422, 503].contains(problem.status), "\(problem.status) is no answer to a whole document")
      try require(!problem.detail.isEmpty, "a problem says what is wrong")
    case .success(let answer):
      try require(answer.keptCount >= 0 && answer.tokenCount >= 0, "counts are counts")
      if answer.tokenCount <= 100_000 {
        let picture = String(decoding: answer.picture(), as: UTF8.self)
        try require(picture.hasPrefix("<svg ") && picture.hasSuffix("</svg>\n"), "a picture is a document")
      }
      for format in TensorFormats.answers {
        switch Result(catching: { () throws(Problem) in try answer.encoded(as: format) }) {
        case .success(let encoded): try requireReadable(encoded, as: format)
        case .failure(let problem):
          try require([415, 422].contains(problem.status), "an answer has a form or says why not")
        }
      }
    }
  }

  private static func requireReadable(
    _ encoded: [UInt8], as format: any TensorFormat.Type
  ) throws(BrokenLaw) {
    guard format.name == JSONTensorFormat.name else { return }
    let again = try? JSONValue.parse(encoded[...])
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

  init(_ bytes: [UInt8]) { choices = Choices(bytes) }

  mutating func document(for operation: PruningService.Operation) -> TensorDocument {
    tokenCount = choices.pick([4, 1, 2, 3, 9, 16, 64, 144, 576, 1024, 4096, 0])
    width = choices.pick([1, 2, 3, 8, 33, 64])
    let batch: [Int] = choices.chance(5) ? [choices.pick([1, 2, 3, 40])] : []
    var tensors: [String: TensorBundle.Entry] = [:]
    for (name, shape) in [
      ("image_features", [tokenCount, width]),
      ("attention", choices.pick([[], [2], [2, 3]]) + [tokenCount]),
    ] where !choices.chance(6) {
      tensors[name] = entry(batch + shape)
    }
    for _ in 0..<(choices.byte() % 5) {
      let name = choices.pick(Self.names)
      tensors[name] = entry(batch + usualShape(of: name))
    }
    return TensorDocument(tensors: TensorBundle(tensors), parameters: parameters(for: operation, batch.first))
  }

  private static let names = [
    "image_features", "attention", "reference_attention", "early_attention", "relevance_features",
    "text_features", "query", "key", "text_key", "text_raters", "sizes", "hidden_states", "norm_weight",
    "query_weight", "key_weight", "position_ids", "deep",
  ]

  private mutating func usualShape(of name: String) -> [Int] {
    switch name {
    case "image_features", "relevance_features": [tokenCount, width]
    case "text_features": choices.pick([[width], [3, width], [512, width]])
    case "key", "hidden_states": [tokenCount, choices.pick([4, width])]
    case "text_key": [3, width]
    case "text_raters": [3]
    case "query", "norm_weight": [4]
    case "query_weight", "key_weight": [4, 4]
    case "attention": choices.pick([[3], [2, 3], [1, 512]]) + [tokenCount]
    default: [tokenCount]
    }
  }

  private static let extents = [
    0, 1, 2, 3, 4, 5, 16, 64, 577, 4096, 65_536, 1 << 20, 1 << 24, 1 << 24 + 1, 1 << 31, 1 << 40, 1 << 62,
    .max,
  ]
  /// So that an input takes milliseconds.
  private static let mostElements = 1 << 16

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
      guard let shape = try? Shape(candidate), shape.elementCount <= Self.mostElements else { continue }
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

  private mutating func parameters(for operation: PruningService.Operation, _ batch: Int?) -> JSONObject {
    var given = JSONObject()
    if operation != .localize, !choices.chance(8) {
      given[choices.pick(TokenBudget.names)] = choices.pick(Self.numbers)
    }
    let descriptor = choices.pick(MethodRegistry.standard.descriptors)
    if operation != .localize, !choices.chance(6) {
      given["method"] = .string(descriptor.name)
      var own = JSONObject()
      for _ in 0..<(choices.byte() % 3) where !descriptor.parameters.isEmpty {
        let parameter = choices.pick(descriptor.parameters)
        own[parameter.name] = value(of: parameter)
      }
      if !own.isEmpty { given["method_parameters"] = .object(own) }
    }
    for _ in 0..<(choices.byte() % 4) {
      let name = choices.pick(operation.parameterNames)
      given[name] = value(of: name, batch)
    }
    if batch != nil, !choices.chance(4) { given["batched"] = true }
    return given
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
      return choices.pick([
        true, false, ["source": "attention"], ["source": "similarity"], ["source": "relative_attention"],
        ["search": "best_separation"], ["search": "best_coverage", "coverage": 0.5], ["strategy": "vicrop"],
      ])
    case "region_policy": return choices.pick(["first", "share", "only", "bias", "none", "x"])
    case "budget_scope": return choices.pick(["image", "tile", "request"])
    case "newline_policy": return choices.pick(["keep", "count", "drop"])
    case "explain", "renumber": return choices.pick([true, false])
    case "anchors": return choices.pick(["diversity", "strided", "attention", "density_peaks"])
    case "mode": return choices.pick(["merge", "resampler"])
    case "dtype": return .string(choices.pick(ElementType.allCases).rawValue)
    case "model_dimensions":
      return .object(
        JSONObject(
          distinctMembers: ["layers", "hidden_size", "intermediate_size", "text_tokens", "heads", "kv_heads"]
            .filter { _ in !choices.chance(4) }.map { .init(name: $0, value: choices.pick(Self.numbers)) }))
    default: return choices.pick(Self.numbers)
    }
  }

  private mutating func layout() -> JSONValue {
    var layout: JSONObject = ["type": .string(choices.pick(Self.layouts))]
    for _ in 0..<(choices.byte() % 6) {
      let name = choices.pick(Self.layoutMembers)
      layout[name] =
        switch name {
        case "image_size", "grid": [choices.pick(Self.sides), choices.pick(Self.sides)]
        case "image_sizes": [[choices.pick(Self.sides), choices.pick(Self.sides)]]
        default: choices.pick(Self.sides)
        }
    }
    return .object(layout)
  }

  private static let layouts = [
    "grid", "llava", "raw", "video", "llava_next", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "gemma3",
    "idefics3", "smolvlm", "x",
  ]
  private static let layoutMembers = [
    "rows", "columns", "frames", "image_size", "image_sizes", "grid", "tokens", "tile_rows", "tile_columns",
    "merge_size", "patch_size", "temporal_patch_size", "thumbnail", "newline", "images", "tiles",
  ]
  private static let sides: [JSONValue] = [
    1, 2, 3, 4, 8, 12, 24, 0, 336, 672, 1_000_000, -1, .integer(.max), .integer(1 << 32), true, 0.5, "x",
  ]

  private mutating func stages() -> JSONValue {
    if choices.chance(6) { return choices.pick(["192", "64", "x", 192, 0.5]) }
    let count = choices.pick([1, 2, 3, 64, 65])
    return .array(
      (0..<count).map { index in
        var stage: JSONObject = ["layer": choices.chance(8) ? choices.pick(Self.numbers) : .integer(index)]
        stage[choices.pick(TokenBudget.names)] = choices.pick(Self.numbers)
        if choices.chance(4) { stage["attention"] = .string(choices.pick(Self.names)) }
        return .object(stage)
      })
  }

  private mutating func region() -> JSONValue {
    let numbers = (0..<choices.pick([4, 2, 5])).map { _ in choices.pick(Self.numbers) }
    return switch choices.byte() % 4 {
    case 0: ["blocks": .array(numbers)]
    case 1: ["box": .array(numbers)]
    case 2: ["text": .string("<box>[\(numbers.map(\.description).joined(separator: ", "))]</box>")]
    default: [["blocks": .array(numbers)], ["box": .array(numbers)]]
    }
  }
}
