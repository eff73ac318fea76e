import JSON
import Tensors
import Testing

@testable import Parameters
@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

/// Every method against answers from an independent float64 reference and, where their vectors are at hand,
/// from the authors' own code.
@Suite struct GoldenMethodTests {
  private static let names = Set(MethodRegistry.standard.descriptors.map(\.name))

  @Test("The committed cases are found")
  func casesExist() throws {
    #expect(try GoldenCase.all(of: Self.names).count >= 39)
  }

  @Test("A method keeps the tokens the golden case names", arguments: try GoldenCase.all(of: names))
  func keepsExpectedTokens(_ golden: GoldenCase) throws {
    guard !isNoTarget(golden) else { return }
    let (method, input, count) = try given(golden)
    if let pointer = golden.expected["refused_at"]?.stringValue {
      let task = SelectionTask(count: count, candidates: Array(0..<golden.tokenCount))
      let error = pruningError { _ = try method.select(task, from: input) }
      #expect(error?.pointer == pointer)
      let raised = golden.expected["raises"]?.arrayValue?.first?.stringValue ?? ""
      return GoldenReport.record(golden, "kept", "refused with 422, as the authors' code raises \(raised)")
    }
    guard golden.expected["kept_indices"] != nil || golden.expected["kept_pairs"] != nil else { return }
    let task = SelectionTask(count: count, candidates: Array(0..<golden.tokenCount))
    let order = try method.select(task, from: input)
    let pairs = golden.expectedIndices("kept_pairs")

    if golden.isFlagged("tie_at_the_cut"), let certain = golden.expectedIndices("tie_free_kept_indices"),
      let tied = golden.expectedIndices("tied_indices")
    {
      #expect(order.count == count && Set(order).isSuperset(of: certain))
      #expect(Set(order).subtracting(certain).isSubset(of: tied))
      return GoldenReport.record(golden, "kept", "tie-free part equal: has_exact_ties")
    }
    let accepted = ["kept_indices", "alternative_kept_indices"].compactMap(golden.expectedIndices)
    let isEqual = accepted.contains(order.sorted())
    // Copies of a token tell apart nothing but the order in which upstream happened to sort them.
    let isEqualUpToCopies = pairs.map { $0 == order.map { $0 / 2 }.sorted() } ?? false
    #expect(isEqual || isEqualUpToCopies, "kept \(order.sorted())")
    GoldenReport.record(
      golden, "kept",
      isEqual ? "equal" : isEqualUpToCopies ? "equal up to copies: has_exact_ties" : "DIFFERENT")
    if !golden.isFlagged("has_exact_ties"), let expected = golden.expectedIndices("order"),
      count < golden.tokenCount
    {
      let orders = [expected] + [golden.expectedIndices("alternative_order")].compactMap { $0 }
      #expect(orders.contains(order))
    }
  }

  @Test("A method merges as the golden case says", arguments: try GoldenCase.all(of: names))
  func mergesAsExpected(_ golden: GoldenCase) throws {
    guard !isNoTarget(golden), golden.expected["sizes"] != nil || golden.expectedTensors["features"] != nil
    else { return }
    let (method, input, count) = try given(golden)
    let merged = try method.merge(count, of: input)
    let differences = try differences(of: merged, from: golden)
    if golden.isFlagged("has_exact_ties"), !differences.isEmpty {
      // Which of equal tokens merge is open; how many, and into how large rows, is not.
      if let sizes = golden.expectedIndices("sizes") { #expect(merged.sizes.sorted() == sizes.sorted()) }
      #expect(merged.features.rows == golden.expectedTensors["features"]?.shape[0])
      return GoldenReport.record(golden, "rows", "row count and sizes equal: has_exact_ties")
    }
    #expect(differences.isEmpty, "\(differences)")
    GoldenReport.record(golden, "rows", differences.isEmpty ? "equal" : "DIFFERENT")
  }

  private func differences(of merged: MergedTokens, from golden: GoldenCase) throws -> [String] {
    var found: [String] = []
    if let kept = golden.expectedIndices("kept_in_row_order"), merged.kept != kept { found.append("order") }
    if let assignments = golden.expectedIndices("assignments"),
      merged.assignments.map({ $0 ?? -1 }) != assignments
    {
      found.append("assignments")
    }
    if let sizes = golden.expectedIndices("sizes"), merged.sizes != sizes { found.append("sizes") }
    guard let features = golden.expectedTensors["features"] else { return found }
    guard [merged.features.rows, merged.features.columns] == features.shape.dimensions else {
      return found + ["shape"]
    }
    let tolerance = golden.flags["feature_tolerance"]?.doubleValue ?? 2e-5
    let expected = features.doubles()
    let largest = expected.reduce(1) { max($0, abs($1)) }
    let difference = zip(merged.features.values, expected).reduce(0) {
      max($0, abs(Double($1.0) - $1.1))
    }
    return difference <= tolerance * largest ? found : found + ["features differ by \(difference)"]
  }

  /// Vectors that document a bug of upstream, or a batch scaled as one, are no target: see their flags.
  private func isNoTarget(_ golden: GoldenCase) -> Bool {
    for flag in ["documents_bug", "batch_normalised"] where golden.isFlagged(flag) {
      GoldenReport.record(golden, "kept", "not compared: \(flag) \(golden.flags["bug"]?.stringValue ?? "")")
      return true
    }
    return false
  }

  private func given(_ golden: GoldenCase) throws -> (any PruningMethod, PruningInput, Int) {
    let layout = try golden.parameters["layout"].map { try TokenLayout($0, tokenCount: golden.tokenCount) }
    let input = PruningInput(
      tokenCount: golden.tokenCount, tensors: golden.tensors,
      layout: layout ?? TokenLayout.inferred(tokenCount: golden.tokenCount),
      stepLimit: StepLimit(100_000_000_000))
    let count = try TokenBudget(ParameterReading(golden.parameters)).resolve(total: golden.tokenCount)
    // Cases with rows are of merging, which has parameters of its own.
    let method = try MethodRegistry.standard.make(
      golden.method, golden.parameters["method_parameters"]?.objectValue ?? [:],
      for: golden.expectedTensors["features"] == nil ? .prune : .compress)
    return (method, input, count)
  }
}
