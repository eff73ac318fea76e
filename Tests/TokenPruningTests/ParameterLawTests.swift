import JSON
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

/// No parameter is accepted and ignored: for each use of each method, changing it changes the answer of some input, or
/// is rejected.
@Suite struct ParameterLawTests {
  private static let tokenCount = 27

  struct Case: CustomTestStringConvertible {
    let descriptor: MethodDescriptor
    let parameter: ParameterDescriptor
    let use: MethodUse

    var testDescription: String { "\(descriptor.name).\(parameter.name) on /\(use.rawValue)" }
  }

  private static let cases = MethodRegistry.standard.descriptors.flatMap { descriptor in
    descriptor.parameters.flatMap { parameter in
      [MethodUse.prune, .compress].map { Case(descriptor: descriptor, parameter: parameter, use: $0) }
    }
  }

  /// Parameters that may give others a meaning: none, each switch and choice, and some numbers.
  private static func bases(of descriptor: MethodDescriptor) -> [JSONObject] {
    var bases: [JSONObject] = [
      [:], ["tile_rows": 1, "tile_columns": 2], ["rank_scale": 2], ["frames": 3], ["text_start": 100],
      ["threshold": 0.6],
    ]
    for parameter in descriptor.parameters {
      switch parameter.kind {
      case .boolean, .choice: bases += others(than: parameter).map { [parameter.name: $0] }
      case .integer, .number: break
      }
    }
    let pairs = bases.filter { $0.names.count == 1 }
    for first in pairs {
      for second in pairs where first.names != second.names {
        var both = first
        for member in second.members { both[member.name] = member.value }
        bases.append(both)
      }
    }
    let declared = Set(descriptor.parameters.map(\.name))
    return bases.filter { $0.names.allSatisfy(declared.contains) }
  }

  @Test("A change of a parameter changes some answer, or is refused", arguments: cases)
  func everyParameter(_ given: Case) throws {
    // CROP merges by anchors, and its parameters are rejected there.
    if given.use == .compress, given.descriptor.name == CompressRequest.defaultMethod {
      let parameters: JSONObject = [
        given.parameter.name: try #require(Self.others(than: given.parameter).first)
      ]
      let request: JSONObject = ["keep_tokens": 3, "method_parameters": .object(parameters)]
      #expect(pruningError { _ = try CompressRequest(request) }?.pointer == "/method_parameters")
      return
    }
    let bases = Self.bases(of: given.descriptor)
    for input in try Self.inputs() {
      for base in bases {
        for count in [1, 12, 20, 26] {
          let before = Self.outcome(given, input, base, count)
          for value in Self.others(than: given.parameter) {
            var changed = base
            changed[given.parameter.name] = value
            if Self.outcome(given, input, changed, count) != before { return }
          }
        }
      }
    }
    Issue.record("is accepted and ignored")
  }

  private static func others(than parameter: ParameterDescriptor) -> [JSONValue] {
    switch parameter.kind {
    case .boolean: [.bool(parameter.defaultValue != true)]
    case .choice(let names): names.map { .string($0) }.filter { $0 != parameter.defaultValue }
    case .integer(let range):
      [0, 1, 2, 3, 5, 16, 1000].filter(range.contains).map { .integer($0) }.filter {
        $0 != parameter.defaultValue
      }
    case .number(let range):
      [0, 0.125, 0.6, 1, 2.5, 10].filter(range.contains).map { .number($0) }.filter {
        $0 != parameter.defaultValue
      }
    }
  }

  private static func outcome(
    _ given: Case, _ input: PruningInput, _ parameters: JSONObject, _ count: Int
  ) -> String {
    let name = given.descriptor.name
    do {
      switch given.use {
      case .prune:
        return try
          "\(prune(input, PruneRequest(method: name, methodParameters: parameters, budget: .keepTokens(count))).kept)"
      case .compress:
        let request = CompressRequest(
          budget: .keepTokens(count), method: name, methodParameters: parameters)
        let result = try compress(input, request)
        return "\(result.keptIndices) \(result.assignments) \(result.features.values)"
      }
    } catch {
      return "\(error)"
    }
  }

  /// Rows of all kinds with all tensors; the same without attention, but with hidden states; with copies and zeros.
  private static func inputs() throws -> [PruningInput] {
    var numbers = TestNumbers(12)
    let (count, columns) = (tokenCount, 6)
    func tensor(_ shape: [Int], positive: Bool = false) throws -> Tensor {
      let values = numbers.floats(shape.reduce(1, *))
      return try floatTensor(positive ? values.map { $0 * $0 * $0 * $0 } : values, shape)
    }
    let rich: [String: Tensor] = [
      "image_features": try tensor([count, columns]), "text_features": try tensor([4, columns]),
      "attention": try tensor([16, 4, count], positive: true),
      "early_attention": try tensor([count], positive: true),
      "key": try tensor([2, count, 4]), "text_key": try tensor([2, 4, 4]),
      "encoder_features": try tensor([count, 5]), "pixel_values": try tensor([2 * count, 3]),
      "padding_mask": try floatTensor((0..<count).map { $0 % 5 == 0 ? 1 : 0 }, [count]),
      "value_states": try tensor([2, count + 8, 4]),
    ]
    var padded = rich
    let values = (rich["image_features"]?.floats() ?? []).enumerated().map {
      $0.offset / columns % 3 == 1
        ? 0 : $0.offset / columns % 3 == 2 ? Float($0.offset % columns) : $0.element
    }
    padded["image_features"] = try floatTensor(values, [count, columns])
    padded["attention"] = try tensor([count], positive: true)
    padded["key"] = nil
    var states = rich
    states["attention"] = nil
    states["hidden_states"] = try tensor([count + 5, 8])
    states["norm_weight"] = try tensor([8])
    states["query_weight"] = try tensor([64, 8])
    states["key_weight"] = try tensor([64, 8])
    let layout = try TokenLayout(["type": "grid", "rows": 3, "columns": 9], tokenCount: count)
    return [rich, padded, states].map { PruningInput(tokenCount: count, tensors: $0, layout: layout) }
  }
}
