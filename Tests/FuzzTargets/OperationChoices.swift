import JSON
import PruningService
import TensorFormats
import Tensors
import TokenPruning

/// How large the tensors of an input may be: most inputs take microseconds, and few take what the large ones do.
///
/// All bytes decide, so that what libFuzzer makes of a large input is small again: a byte that says so would be kept in
/// most of that input's descendants.
private enum InputSize {
  case small, medium, large

  init(_ bytes: [UInt8]) {
    switch bytes.reduce(0, { $0 + Int($1) }) % 512 {
    case 1: self = .large
    case 2..<34: self = .medium
    default: self = .small
    }
  }

  var tokenCounts: [Int] {
    switch self {
    case .small: [4, 1, 2, 3, 9, 16, 25, 12, 6, 0]
    case .medium: [4, 1, 2, 3, 9, 16, 25, 36, 64, 0]
    case .large: [144, 576, 1024, 4096]
    }
  }

  /// Of a tensor of the usual shape.
  var mostElements: Int { self == .large ? 1 << 16 : 1 << 12 }
  /// Of one with a changed shape, which may have far more rows.
  var mostElementsOfOthers: Int { self == .small ? 1 << 8 : mostElements }
}

/// Makes a whole request of an input's bytes, by choices that are possible mostly and extreme at times.
struct OperationChoices {
  var choices: Choices
  private(set) var tokenCount = 0
  private var width = 1
  private var heads = 1
  private var sharedHeads = 1
  private var headWidth = 1
  private let size: InputSize
  private var isLarge: Bool { size == .large }

  init(_ bytes: [UInt8]) {
    choices = Choices(bytes)
    size = InputSize(bytes)
  }

  /// - Parameter comparing: whether it is about several methods.
  mutating func document(for operation: PruningService.Operation, comparing: Bool) -> TensorDocument {
    tokenCount = choices.pick(size.tokenCounts)
    width = choices.pick(isLarge ? [8, 33, 64] : [1, 2, 3, 8, 17])
    heads = choices.pick([1, 2, 4])
    sharedHeads = choices.chance(3) ? choices.pick([1, 2, 3]) : heads
    headWidth = choices.pick([2, 4, 1])
    var batch: [Int] = choices.chance(5) ? [choices.pick([1, 2, 3])] : []
    if !batch.isEmpty, choices.chance(16), size != .small { batch = [40] }
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

  static let names = [
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
  /// Made one by one, which is most of what a small input costs; the elements after them are the same again.
  private var mostDifferent: Int { isLarge ? 1 << 12 : 1 << 8 }

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
      let most = candidate == usual ? size.mostElements : size.mostElementsOfOthers
      guard let shape = try? Shape(candidate), shape.elementCount <= most else { continue }
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
    let different = min(count, mostDifferent)
    let withoutTopBits: UInt64 = ~(0xc0 << UInt64(8 * (width - 1)))
    return [UInt8](unsafeUninitializedCapacity: count * width) { buffer, written in
      for index in 0..<different {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let bits =
          switch pattern {
          case 0: repeated(state >> 33) & withoutTopBits
          case 1: UInt64(0)
          case 2: UInt64(special & 0x3f) << UInt64(8 * (width - 1))
          case 3: repeated(UInt64(index % row)) & withoutTopBits
          case 4: repeated(UInt64(index / row / 2)) & withoutTopBits
          case 5: repeated(state >> 40)
          case 6 where index % 37 != 5: repeated(state >> 33) & withoutTopBits
          default: repeated(UInt64(special))
          }
        for byte in 0..<width {
          buffer[index * width + byte] = UInt8(truncatingIfNeeded: bits >> UInt64(8 * byte))
        }
      }
      written = different * width
      while written < count * width {
        let more = min(written, count * width - written)
        UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[written...])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<more]))
        written += more
      }
    }
  }

  /// Eight times the lowest byte.
  private func repeated(_ byte: UInt64) -> UInt64 { (byte & 0xff) &* 0x0101_0101_0101_0101 }
}
