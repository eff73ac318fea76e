import JSON
import Tensors
import Testing

@testable import LearnedNetworks
@testable import Localization
@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

/// One layout with several images is the list of those images: for every operation, method, scope and parameter.
@Suite struct SeveralImagesTests {
  static let methods = MethodRegistry.standard.descriptors.map(\.name)
  /// Two images and a video of other sizes.
  private static let grids: [JSONValue] = [[1, 6, 8], [1, 8, 4], [2, 4, 4]]

  private struct Request {
    let joint: PruningInput
    let images: [PruningInput]
    let starts: [Int]
  }

  /// Qwen images of 12, 8 and 2 x 4 tokens, with all tensors that methods read.
  private func request(_ method: String, seed: UInt64) throws -> Request {
    // evs reads videos only.
    let grids: [JSONValue] = method == "evs" ? [[3, 4, 4], [2, 6, 4]] : Self.grids
    let layout = try TokenLayout(["type": "qwen2_vl", "grid_thw": .array(grids)], tokenCount: nil)
    var numbers = TestNumbers(seed)
    let count = layout.tokenCount
    let columns = 6
    var tensors: [String: Tensor] = [
      "image_features": try floatTensor(numbers.floats(count * columns), [count, columns]),
      "relevance_features": try floatTensor(numbers.floats(count * 3), [count, 3]),
      "text_features": try floatTensor(numbers.floats(4 * 3), [4, 3]),
      "attention": try floatTensor(numbers.floats(2 * 4 * count).map(abs), [2, 4, count]),
      "reference_attention": try floatTensor(numbers.floats(count).map { abs($0) + 0.1 }, [count]),
      "key": try floatTensor(numbers.floats(2 * count * 4), [2, count, 4]),
      "query": try floatTensor(numbers.floats(2 * 4), [2, 4]),
      "encoder_features": try floatTensor(numbers.floats(count * 5), [count, 5]),
      "early_attention": try floatTensor(numbers.floats(count).map(abs), [count]),
      "padding_mask": try floatTensor((0..<count).map { $0 % 5 == 0 ? 1 : 0 }, [count]),
      "pixel_values": try floatTensor(numbers.floats(2 * count * 3), [2 * count, 3]),
      "value_states": try floatTensor(numbers.floats(2 * (count + 5) * 4), [2, count + 5, 4]),
    ]
    if method.hasPrefix("sparsevlm") || method == "mmtok" {
      tensors["text_features"] = try floatTensor(numbers.floats(4 * columns), [4, columns])
    }
    if method == "dart" { tensors["text_features"] = nil }
    /// The sequence around the images is one, so that each knows its place in it.
    func input(_ tensors: [String: Tensor], _ layout: TokenLayout, from start: Int) -> PruningInput {
      PruningInput(
        PruningInput.Image(
          tokenCount: layout.tokenCount, layout: layout, seed: seed, previous: nil, firstToken: start,
          requestTokenCount: count),
        tensors: tensors, stepLimit: StepLimit(1 << 30), sharing: .none)
    }
    var images: [PruningInput] = []
    var starts: [Int] = []
    var start = 0
    for grid in grids {
      let own = try TokenLayout(["type": "qwen2_vl", "grid_thw": grid], tokenCount: nil)
      let tokens = start..<(start + own.tokenCount)
      let cut = try tensors.mapValues { tensor in
        for rows in 1...2 {
          guard let axis = tensor.shape.dimensions.firstIndex(of: rows * count) else { continue }
          return try columnsOrRows(tensor, tokens.lowerBound * rows..<tokens.upperBound * rows, axis)
        }
        return tensor
      }
      images.append(input(cut, own, from: start))
      starts.append(start)
      start = tokens.upperBound
    }
    return Request(joint: input(tensors, layout, from: 0), images: images, starts: starts)
  }

  /// Cut element by element, another way than the service's.
  private func columnsOrRows(_ tensor: Tensor, _ range: Range<Int>, _ axis: Int) throws -> Tensor {
    var shape = tensor.shape.dimensions
    let inner = shape[(axis + 1)...].reduce(1, *)
    let extent = shape[axis]
    let values = tensor.floats().enumerated().filter { range.contains($0.offset / inner % extent) }
    shape[axis] = range.count
    return try floatTensor(values.map(\.element), shape)
  }

  @Test("Pruning", arguments: methods, [BudgetScope.image, .request, .tile])
  func pruning(_ method: String, _ scope: BudgetScope) throws {
    for seed in 1...3 as ClosedRange<UInt64> {
      let given = try request(method, seed: seed)
      for budget in [TokenBudget.keepTokens(3), .keepRatio(0.4)] {
        let wanted = PruneRequest(method: method, budget: budget, explain: true, scope: scope)
        let joint = try prune(given.joint, wanted)
        let list =
          scope == .request
          ? try pruneTogether(given.images, given.images.map { _ in wanted })
          : try given.images.map { try prune($0, wanted) }
        #expect(joint.kept == joined(list.map(\.kept), given.starts), "\(budget)")
        #expect(joint.scores == (list[0].scores == nil ? nil : list.flatMap { $0.scores ?? [] }))
        #expect(
          joint.explanation?.ranks
            == (list[0].explanation?.ranks == nil ? nil : list.flatMap { $0.explanation?.ranks ?? [] }))
      }
    }
  }

  @Test("Pruning in stages, whose later attention may be of the survivors alone", arguments: methods)
  func stages(_ method: String) throws {
    let given = try request(method, seed: 9)
    let wanted = PruneRequest(
      method: method,
      stages: [
        PruningStage(layer: 2, budget: .keepRatio(0.5)), PruningStage(layer: 5, budget: .keepRatio(0.3)),
      ], layerCount: 8)
    let joint = try prune(given.joint, wanted)
    let list = try given.images.map { try prune($0, wanted) }
    for stage in 0..<2 {
      #expect(joint.stages[stage].kept == joined(list.map { $0.stages[stage].kept }, given.starts))
    }
    #expect(joint.averageTokens == list.reduce(0) { $0 + ($1.averageTokens ?? 0) })
    let first = joint.stages[0].kept
    #expect(joint.stages[1].keptWithinPrevious.map { first[$0] } == joint.stages[1].kept)

    var numbers = TestNumbers(4)
    let second = numbers.floats(first.count).map(abs)
    var tensors = given.joint.tensors
    tensors["second"] = try floatTensor(second, [first.count])
    var staged = wanted
    staged.stages[1] = PruningStage(layer: 5, budget: .keepRatio(0.3), attention: "second")
    let joined = try prune(given.joint.replacing(tensors: tensors), staged)
    var start = 0
    for (image, input) in given.images.enumerated() {
      var own = input.tensors
      let count = list[image].stages[0].kept.count
      own["second"] = try floatTensor(Array(second[start..<(start + count)]), [count])
      start += count
      let result = try prune(input.replacing(tensors: own), staged)
      let range = given.starts[image]..<(given.starts[image] + input.tokenCount)
      #expect(joined.kept.filter(range.contains).map { $0 - range.lowerBound } == result.kept)
    }
  }

  @Test("Merging", arguments: methods)
  func merging(_ method: String) throws {
    for seed in 1...3 as ClosedRange<UInt64> {
      let given = try request(method, seed: seed)
      for budget in [TokenBudget.keepTokens(3), .keepRatio(0.4)] {
        let wanted = CompressRequest(budget: budget, method: method)
        try expectEqual(
          try compress(given.joint, wanted), given.images.map { try compress($0, wanted) }, given.starts)
      }
    }
  }

  @Test("Merging by anchors", arguments: AnchorStrategy.allCases, [true, false])
  func anchors(_ strategy: AnchorStrategy, _ hasRegion: Bool) throws {
    let given = try request("crop", seed: 5)
    let regions = [[1, 2, 6], [0, 1, 2, 3], [4, 5]]
    var wanted = CompressRequest(budget: .keepTokens(4), anchors: strategy)
    var list: [CompressResult] = []
    for (image, input) in given.images.enumerated() {
      wanted.regionTokens = hasRegion ? regions[image] : nil
      list.append(try compress(input, wanted))
    }
    wanted.regionTokens = hasRegion ? joined(regions, given.starts) : nil
    try expectEqual(try compress(given.joint, wanted), list, given.starts)
  }

  private func expectEqual(_ joint: CompressResult, _ list: [CompressResult], _ starts: [Int]) throws {
    #expect(joint.features.values == list.flatMap(\.features.values))
    #expect(joint.keptIndices == joined(list.map(\.keptIndices), starts))
    #expect(joint.sizes == list.flatMap(\.sizes))
    #expect(joint.imageRows == list.map(\.features.rows))
    var firstRow = 0
    var assignments: [Int] = []
    for result in list {
      assignments += result.assignments.map { $0 < 0 ? -1 : $0 + firstRow }
      firstRow += result.features.rows
    }
    #expect(joint.assignments == assignments)
  }

  @Test("Localizing", arguments: ["attention", "relative_attention", "similarity", "query_key"])
  func localizing(_ source: String) throws {
    let given = try request("crop", seed: 6)
    let options = try LocalizationOptions(["source": .string(source), "minimum_contrast": 0])
    let joint = try localize(given.joint, options)
    let list = try given.images.map { try localize($0, options) }
    #expect(joint.tokens == joined(list.map(\.tokens), given.starts))
    #expect(joint.regions == list.flatMap(\.regions) && joint.images == [0, 1, 2])
    #expect(joint.maps == list.flatMap(\.maps))
  }

  @Test("Plans, of schedules too")
  func plans() throws {
    let layout = try TokenLayout(
      ["type": "qwen2_vl", "grid_thw": [[1, 8, 8], [1, 12, 12]]], tokenCount: nil)
    let wanted = PruneRequest(method: "pyramiddrop", schedule: "published")
    let plan = try PrunePlan(of: [layout], [wanted])
    #expect(plan.kept == [26, 13, 6] && plan.parts[0].images.map(\.kept) == [[8, 4, 2], [18, 9, 4]])
    let input = PruningInput(
      tokenCount: 52, tensors: ["attention": try floatTensor((0..<52).map { Float($0 * 37 % 52) }, [52])],
      layout: layout)
    #expect(try prune(input, wanted).stages.map(\.kept.count) == [26, 13, 6])
    let four = try TokenLayout(
      ["type": "qwen2_vl", "grid_thw": [[1, 8, 8], [1, 8, 8], [1, 8, 8], [1, 8, 8]]], tokenCount: nil)
    #expect(try PrunePlan(of: [four], [wanted]).kept == [32, 16, 8])
  }

  @Test("An error names the image")
  func errors() throws {
    let given = try request("topk", seed: 1)
    let error = pruningError {
      _ = try prune(given.joint, PruneRequest(method: "evs", budget: .keepTokens(2)))
    }
    #expect(error?.pointer == "/layout" && error?.message.hasPrefix("image 0: ") == true)
  }

  private func joined(_ lists: [[Int]], _ starts: [Int]) -> [Int] {
    zip(lists, starts).flatMap { list, start in list.map { $0 + start } }
  }
}

/// Newline tokens on `/compress`: no patches, and read as `/prune` reads them.
@Suite struct NewlineCompressionTests {
  /// The whole image as 2 x 2 patches, then a raster of 2 x 4 with a newline behind each row.
  private static let small: JSONValue = [
    "type": "llava_next", "image_size": [56, 28], "tile_size": 28, "grid_pinpoints": [[28, 56]],
  ]

  private func input() throws -> PruningInput {
    let layout = try TokenLayout(Self.small, tokenCount: nil)
    let plain = try makeInput(layout.tokenCount, columns: 4)
    return PruningInput(tokenCount: layout.tokenCount, tensors: plain.tensors, layout: layout)
  }

  @Test(
    "They are merged into nothing, whatever the method", arguments: SeveralImagesTests.methods,
    NewlinePolicy.allCases)
  func apart(_ method: String, _ policy: NewlinePolicy) throws {
    let input = try input()
    let separators = try #require(input.layout?.separators)
    let result = try compress(
      input,
      CompressRequest(
        budget: .keepTokens(5), method: method, methodParameters: neededParameters(method), newlines: policy)
    )
    let kept = Set(result.keptIndices)
    switch policy {
    case .drop:
      #expect(kept.isDisjoint(with: separators) && kept.count == 5)
      #expect(separators.allSatisfy { result.assignments[$0] == -1 })
    case .keep:
      #expect(kept.isSuperset(of: separators) && kept.count == 5 + separators.count)
      for token in separators {
        let row = result.assignments[token]
        #expect(result.sizes[row] == 1 && result.keptIndices[row] == token)
        #expect(Array(result.features.row(row)) == Array(try input.features().row(token)))
      }
    case .count: #expect(kept.count == 5)
    }
    for (row, token) in result.keptIndices.enumerated() { #expect(result.assignments[token] == row) }
    #expect(result.rowPositions.count == result.features.rows)
    #expect(result.sizes.count == result.features.rows)
    if policy != .count {
      let patches = (0..<input.tokenCount).filter { !separators.contains($0) }
      for token in patches where result.assignments[token] >= 0 {
        #expect(!separators.contains(result.keptIndices[safe: result.assignments[token]] ?? -1))
      }
    }
  }

  @Test("Without separators a layout has the same views over the tokens that are left")
  func layout() throws {
    let layout = try TokenLayout(["type": "llava_next", "image_size": [336, 672]], tokenCount: nil)
    #expect(layout.separators.prefix(4) == [600, 625, 650, 675])
    let bare = try #require(layout.withoutSeparators)
    #expect(bare.tokenCount == layout.tokenCount - layout.separators.count && bare.separators.isEmpty)
    let patches = (0..<layout.tokenCount).filter { !layout.separators.contains($0) }
    for (slot, token) in patches.enumerated() {
      #expect(bare.position(of: slot) == layout.position(of: token))
    }
  }
}

extension Array {
  fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
