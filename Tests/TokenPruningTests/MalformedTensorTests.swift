import JSON
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning

/// What every registered method does with numbers chosen to break it.
@Suite struct MalformedTensorTests {
  private static let registry = MethodRegistry.standard

  /// How the tensors of a request are spoilt.
  enum Spoiling: String, CaseIterable, Sendable {
    case zeros, ones, zeroRows, rankOne, ties, tiny, huge

    func apply(_ values: [Float], columns: Int) -> [Float] {
      values.indices.map { index in
        let row = index / columns
        let column = index % columns
        switch self {
        case .zeros: return 0
        case .ones: return 1
        case .zeroRows: return row % 3 == 0 ? 0 : values[index]
        case .rankOne: return Float(row + 1) * Float(column + 1)
        case .ties: return values[(row / 4 * 4) * columns + column]
        case .tiny: return values[index] * 0x1p-140
        case .huge: return values[index] * 0x1p100
        }
      }
    }
  }

  private func input(_ count: Int, _ spoiling: Spoiling) throws -> PruningInput {
    let columns = 12
    return try makeInput(count, columns: columns) { values in
      values["image_features"] = spoiling.apply(values["image_features"] ?? [], columns: columns)
      for name in ["text_features", "pixel_values", "value_states"] {
        values[name] = spoiling.apply(values[name] ?? [], columns: columns)
      }
      values["attention"] = spoiling.apply(values["attention"] ?? [], columns: 1)
    }
  }

  @Test(
    "Spoilt tensors give K different tokens, the same ones every time, or an error that names a tensor",
    arguments: registry.descriptors.map(\.name), Spoiling.allCases)
  func spoilt(_ name: String, _ spoiling: Spoiling) throws {
    for tokenCount in [1, 2, 25] {
      let input = try input(tokenCount, spoiling)
      for count in Set([0, 1, tokenCount / 2, tokenCount - 1, tokenCount]) {
        let request = PruneRequest(
          method: name, methodParameters: neededParameters(name), budget: .keepTokens(count))
        do throws(PruningError) {
          let result = try prune(input, request)
          #expect(result.kept.count == count && Set(result.kept).count == count)
          #expect(result.kept.isStrictlyAscending && result.kept.allSatisfy { (0..<tokenCount).contains($0) })
          #expect(try prune(input, request) == result)
          if count == tokenCount { #expect(result.kept == Array(0..<tokenCount)) }
        } catch {
          #expect(spoiling == .huge && !error.pointer.isEmpty, "\(error)")
        }
      }
      #expect(
        pruningError {
          _ = try prune(
            input,
            PruneRequest(
              method: name, methodParameters: neededParameters(name), budget: .keepTokens(tokenCount + 1)))
        }?
        .pointer == "/keep_tokens")
    }
  }

  @Test(
    "Rows made of spoilt tensors are finite or refused", arguments: registry.descriptors.map(\.name),
    Spoiling.allCases)
  func spoiltRows(_ name: String, _ spoiling: Spoiling) throws {
    let input = try input(25, spoiling)
    for count in [0, 1, 12, 24, 25] {
      do throws(PruningError) {
        let merged = try Self.registry.make(name, neededParameters(name)).merge(count, of: input)
        #expect(merged.features.rows == merged.sizes.count)
        let isFinite = !merged.features.values.contains { !$0.isFinite }
        #expect(isFinite || spoiling == .huge)
      } catch {
        #expect(spoiling == .huge && !error.pointer.isEmpty, "\(error)")
      }
    }
  }

  @Test("With faithful, one zero row leaves the two tokens that DivPrune's code returns")
  func faithfulDivPrune() throws {
    func kept(_ zeros: [Int], count: Int, of tokenCount: Int) throws -> [Int] {
      let input = try makeInput(tokenCount, columns: 4) { values in
        for row in zeros { for column in 0..<4 { values["image_features"]?[row * 4 + column] = 0 } }
      }
      return try prune(
        input,
        PruneRequest(method: "divprune", methodParameters: ["faithful": true], budget: .keepTokens(count))
      ).kept
    }
    #expect(try kept([5], count: 4, of: 9) == [0, 5])
    #expect(try kept([5, 7], count: 4, of: 9) == [0, 5])
    #expect(try kept([5], count: 1, of: 9) == [5])
    #expect(try kept([0], count: 4, of: 9) == [0])
    #expect(try kept([5], count: 0, of: 9) == [])
    // Fewer than two rows with a direction: every score is NaN, and the first token wins.
    #expect(try kept([1], count: 2, of: 2) == [0])
    #expect(try kept([], count: 4, of: 9).count == 4)
  }

  @Test("With faithful, VisPruner refuses what its code raises an error for")
  func faithfulVisPruner() throws {
    let input = try makeInput(64)
    func run(_ count: Int) throws -> Int {
      try prune(
        input,
        PruneRequest(method: "vispruner", methodParameters: ["faithful": true], budget: .keepTokens(count))
      ).kept.count
    }
    #expect(try run(16) == 16)
    #expect(pruningError { _ = try run(18) }?.pointer == "/method_parameters/faithful")
    #expect(try run(64) == 64)
  }
}
