import Glibc
import JSON
import Locking
import PruningNumerics
import TensorFormats
import Tensors
import Testing
import TokenPruning

@testable import PruningService

/// What every registered method does with shapes and numbers chosen to break it, through every operation.
///
/// Tensors are built from what ``TensorAxes`` says of the names in a descriptor, so that a new method is covered as soon
/// as it is registered.
@Suite struct ExtremeTensorTests {
  private static let methods = MethodRegistry.standard.descriptors

  @Test("Shapes of every extreme give a result or a problem", arguments: methods.map(\.name))
  func shapes(_ name: String) throws {
    let method = try #require(Self.methods.first { $0.name == name })
    for shape in HostileShape.all {
      for numbers in [HostileNumbers.mixed, .equal, .zeroRows] {
        for names in inputs(of: method) {
          runAll(method, try tensors(names, shape, numbers, .float32), shape)
        }
      }
    }
  }

  @Test("Numbers of every type and size give results or a problem", arguments: methods.map(\.name))
  func numbers(_ name: String) throws {
    let method = try #require(Self.methods.first { $0.name == name })
    let shape = HostileShape(tokens: 9, width: 3, words: 2, heads: 1, queries: 2)
    for numbers in HostileNumbers.allCases {
      for type in [ElementType.float64, .bfloat16, .int8] {
        for names in inputs(of: method) {
          runAll(method, try tensors(names, shape, numbers, type), shape)
        }
      }
    }
  }

  @Test("NaN and infinity are rejected by the tensor's name, wherever a method reads it")
  func notFinite() throws {
    let shape = HostileShape(tokens: 16, width: 4, words: 2, heads: 1, queries: 2)
    for method in Self.methods where method.readsValues {
      for broken in method.requiredInputs where !TensorAxes.integerNames.contains(broken) {
        for value in [Float.nan, .infinity, -.infinity] {
          var given = try tensors(method.requiredInputs, shape, .mixed, .float32)
          guard var values = given[broken]?.floats(), let extents = given[broken]?.shape else { continue }
          values[values.count - 1] = value
          given[broken] = try .float32(values, shape: extents)
          let outcome = run(.prune, method, given, shape, ["keep_tokens": 5])
          // A method may look at the last row of an attention only, or need another tensor first: never a result.
          #expect(outcome.problem?.status == 422, "\(method.name) \(broken) \(value)")
          #expect(outcome.problem?.pointer?.isEmpty == false, "\(method.name) \(broken) \(value)")
        }
      }
    }
  }

  @Test("Ragged batches and 64 stages give a result or a problem", arguments: methods.map(\.name))
  func batches(_ name: String) throws {
    let method = try #require(Self.methods.first { $0.name == name })
    for names in inputs(of: method) {
      var lists: [String: [Tensor]] = [:]
      for tokens in [1, 9, 0] {
        let shape = HostileShape(tokens: tokens, width: 3, words: 2, heads: 1, queries: 2)
        for (name, tensor) in try tensors(names, shape, .mixed, .float32) {
          lists[name, default: []].append(tensor)
        }
      }
      let ragged = lists.mapValues { TensorBundle.Entry.many($0) }
      for scope in ["image", "request"] {
        check(
          outcome(
            .prune, ragged, ["method": .string(name), "keep_ratio": 0.5, "budget_scope": .string(scope)]),
          "ragged")
      }
      check(outcome(.compress, ragged, ["method": .string(name), "keep_ratio": 0.5]), "ragged")
      let shape = HostileShape(tokens: 64, width: 3, words: 2, heads: 1, queries: 2)
      let stages = (0..<64).map {
        JSONValue.object(["layer": .integer($0), "keep_tokens": .integer(64 - $0)])
      }
      let given = try tensors(names, shape, .mixed, .float32)
      for scope in ["image", "tile", "request"] {
        for budget in [["stages": .array(stages)], ["keep_ratio": 0.5]] as [JSONObject] {
          var parameters = budget
          parameters["budget_scope"] = .string(scope)
          parameters["layout"] = ["type": "video", "frames": 16, "rows": 2, "columns": 2]
          check(run(.prune, method, given, shape, parameters), "\(scope)")
        }
      }
    }
  }

  /// The clock is up after a few polls: what does not poll, or works long between polls, takes seconds here.
  @Test("Work on many tokens and tiles ends when the time is up", arguments: methods.map(\.name))
  func overdue(_ name: String) throws {
    let method = try #require(Self.methods.first { $0.name == name })
    let frames = 1_024
    let layout: JSONValue = [
      "type": "video", "frames": .integer(frames), "rows": 1, "columns": 1,
    ]
    for tokens in [frames, 8_192] {
      let shape = HostileShape(tokens: tokens, width: 1, words: 1, heads: 1, queries: 1)
      let given = try tensors(method.requiredInputs + method.alternativeInputs, shape, .equal, .uint8)
      var parameters: JSONObject = ["keep_ratio": 0.5]
      if tokens == frames { parameters = ["keep_ratio": 0.5, "budget_scope": "tile", "layout": layout] }
      for polls in [0, 4] {
        let start = Self.threadSeconds()
        let counter = Locked(polls)
        let isOverdue: @Sendable () -> Bool = {
          counter.withLock { left in
            left -= 1
            return left < 0
          }
        }
        let outcome = run(.prune, method, given, shape, parameters, isOverdue: isOverdue)
        check(outcome, "\(tokens) tokens")
        let used = Self.threadSeconds() - start
        #expect(used < 4, "\(tokens) tokens, \(polls) polls: \(used) s")
      }
    }
  }

  @Test("A plan ends when the time is up")
  func overduePlan() throws {
    let parameters: JSONObject = [
      "method": "topk", "keep_ratio": 0.5, "layout": ["type": "grid", "rows": 2, "columns": 2],
    ]
    #expect(try PlanOperation.run(parameters)["keep_tokens"] == 2)
    let problem = #expect(throws: Problem.self) { try PlanOperation.run(parameters, isOverdue: { true }) }
    #expect(problem?.status == 503)
  }

  private static func threadSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}

// Requests

extension ExtremeTensorTests {
  struct Outcome {
    let answer: Answer?
    let problem: Problem?
  }

  /// Without and with what a method can also read; each of its alternatives by itself.
  private func inputs(of method: MethodDescriptor) -> [[String]] {
    let alternatives = method.alternativeInputs.isEmpty ? [[]] : method.alternativeInputs.map { [$0] }
    return alternatives.map { method.requiredInputs + $0 } + [method.requiredInputs + method.optionalInputs]
  }

  private func tensors(
    _ names: [String], _ shape: HostileShape, _ numbers: HostileNumbers, _ type: ElementType
  ) throws -> [String: Tensor] {
    var tensors: [String: Tensor] = [:]
    for name in names { tensors[name] = try numbers.tensor(shape.extents(of: name), type) }
    return tensors
  }

  /// Every operation, with no tokens kept, some, and all.
  private func runAll(_ method: MethodDescriptor, _ tensors: [String: Tensor], _ shape: HostileShape) {
    for count in Set([0, shape.tokens / 2, shape.tokens]) {
      for operation in [Operation.prune, .compress] {
        let outcome = run(operation, method, tensors, shape, ["keep_tokens": .integer(count)])
        check(outcome, "\(method.name) \(operation) \(shape) \(count)")
      }
    }
    let given = tensors.filter { ["attention", "image_features", "text_features"].contains($0.key) }
    check(outcome(.localize, given.mapValues { .one($0) }, [:]), "localize \(shape)")
  }

  private func run(
    _ operation: PruningService.Operation, _ method: MethodDescriptor, _ tensors: [String: Tensor],
    _ shape: HostileShape, _ given: JSONObject, isOverdue: @escaping @Sendable () -> Bool = { false }
  ) -> Outcome {
    var parameters = given
    parameters["method"] = .string(method.name)
    parameters["batched"] = false
    if given["layout"] == nil { parameters = parameters.withFrames(1) }
    return outcome(operation, tensors.mapValues { .one($0) }, parameters, isOverdue: isOverdue)
  }

  private func outcome(
    _ operation: PruningService.Operation, _ tensors: [String: TensorBundle.Entry], _ parameters: JSONObject,
    isOverdue: @escaping @Sendable () -> Bool = { false }
  ) -> Outcome {
    let document = TensorDocument(tensors: TensorBundle(tensors), parameters: parameters)
    do throws(Problem) {
      return Outcome(answer: try operation.run(document, isOverdue: isOverdue), problem: nil)
    } catch {
      return Outcome(answer: nil, problem: error)
    }
  }

  /// A problem of the client's, or an answer.
  private func check(_ outcome: Outcome, _ comment: Comment) {
    if let problem = outcome.problem {
      #expect([400, 422, 503].contains(problem.status), comment)
      #expect(!problem.detail.isEmpty, comment)
    } else {
      #expect(outcome.answer?.samples.isEmpty == false, comment)
    }
  }
}

/// The extents that the axes of all tensors are made of.
struct HostileShape: CustomStringConvertible {
  let tokens: Int
  let width: Int
  let words: Int
  let heads: Int
  let queries: Int

  static let all = [
    HostileShape(tokens: 0, width: 4, words: 1, heads: 1, queries: 1),
    HostileShape(tokens: 1, width: 1, words: 1, heads: 1, queries: 1),
    HostileShape(tokens: 2, width: 1, words: 0, heads: 1, queries: 1),
    HostileShape(tokens: 2, width: 128, words: 1, heads: 1, queries: 1),
    HostileShape(tokens: 16, width: 1, words: 9, heads: 1, queries: 1),
    HostileShape(tokens: 16, width: 4, words: 2, heads: 0, queries: 2),
    HostileShape(tokens: 16, width: 2, words: 2, heads: 8, queries: 5),
  ]

  var description: String { "N \(tokens), D \(width), M \(words), heads \(heads), queries \(queries)" }

  /// The extents of the tensor in its longest form.
  func extents(of name: String) -> [Int] {
    let description = TensorAxes.of(name).description
    let last = description.split(separator: "[").last ?? ""
    return last.split(separator: "]")[0].split(separator: ",").map { axis in
      let symbol = axis.drop { $0 == " " }
      return switch symbol {
      case "N": tokens
      case "N x patches of a token": 2 * tokens
      case "S": tokens + 5
      case "M": words
      case "heads": heads
      case "queries": queries
      case "heads d": heads * width
      default: Int(symbol) ?? width
      }
    }
  }
}

enum HostileNumbers: CaseIterable {
  case mixed, equal, zeros, zeroRows, largest, opposite, smallest

  func tensor(_ extents: [Int], _ type: ElementType) throws -> Tensor {
    let shape = try Shape(extents)
    let count = shape.elementCount
    let columns = max(extents.last ?? 1, 1)
    if type == .float64 {
      let values = (0..<count).map {
        value(at: $0, columns, greatest: .greatestFiniteMagnitude, least: .leastNonzeroMagnitude)
      }
      let bytes = values.map(\.bitPattern.littleEndian).withUnsafeBytes { Array($0) }
      return try Tensor(elementType: .float64, shape: shape, bytes: bytes[...])
    }
    if type == .int8 || type == .uint8 {
      let bytes = (0..<count).map { index in
        let value = value(at: index, columns, greatest: 127, least: 1)
        return UInt8(truncatingIfNeeded: Int((value.magnitude < 1 ? value * 127 : value)))
      }
      return try Tensor(elementType: type, shape: shape, bytes: bytes[...])
    }
    let greatest: Double =
      switch type {
      case .float16: 65504
      case .bfloat16: 0x1.fep127
      default: Double(Float.greatestFiniteMagnitude)
      }
    let values = (0..<count).map { Float(value(at: $0, columns, greatest: greatest, least: 0x1p-149)) }
    return try .floatingPoint(values, shape: shape, as: type)
  }

  private func value(at index: Int, _ columns: Int, greatest: Double, least: Double) -> Double {
    let plain = Double((index &* 2_654_435_761) % 1009) / 1010
    switch self {
    case .mixed: return plain
    case .equal: return 1
    case .zeros: return 0
    case .zeroRows: return index / columns % 2 == 0 ? 0 : plain
    case .largest: return greatest
    case .opposite: return index % 2 == 0 ? greatest : -greatest
    case .smallest: return least
    }
  }
}
