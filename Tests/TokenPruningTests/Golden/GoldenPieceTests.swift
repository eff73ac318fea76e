import JSON
import PruningNumerics
import Tensors
import Testing

@testable import GreedySearch
@testable import Localization
@testable import Parameters
@testable import TokenPruning
@testable import VisionLayouts

/// Vectors of published code that is a piece of a method here: OpenVINO's selection on a kernel, ViCrop's box.
///
/// The vectors are not committed; without CROP_GOLDEN_DIR there is nothing to compare.
@Suite struct GoldenPieceTests {
  @Test(
    "OpenVINO's greedy selection keeps the same rows of a kernel",
    arguments: try GoldenCase.all(of: ["fastdpp_openvino"]))
  func openVINO(_ golden: GoldenCase) throws {
    let kernel = try #require(golden.tensors["kernel"])
    let count = try TokenBudget(ParameterReading(golden.parameters)).resolve(total: kernel.shape[0])
    var steps = StepCounter(limit: .unlimited)
    let order = try FloatDeterminantalSearch.select(
      count, of: kernel.floats(), size: kernel.shape[0], &steps)
    #expect(order.count == count && Set(order).count == count)
    if golden.isFlagged("documents_bug") {
      let bug = golden.flags["bug"]?.stringValue ?? ""
      return GoldenReport.record(golden, "kept", "not compared: documents_bug \(bug)")
    }
    let isEqual = order.sorted() == golden.expectedIndices("kept_indices")
    #expect(isEqual, "kept \(order.sorted())")
    GoldenReport.record(golden, "kept", isEqual ? "equal" : "DIFFERENT")
  }

  @Test("ViCrop's box is the authors'", arguments: try GoldenCase.all(of: ["vicrop"]))
  func viCrop(_ golden: GoldenCase) throws {
    let map = try #require(golden.tensors["map"])
    let size = try #require(golden.parameters["image_size"]?.arrayValue).compactMap(\.integerValue)
    let base = try #require(golden.parameters["base"]?.doubleValue)
    let crop = ViCrop.crop(
      map.doubles(), rows: map.shape[0], columns: map.shape[1],
      image: ImageSize(width: size[0], height: size[1]), base: base, isFaithful: true)
    // The same without `faithful`, but where a window has no cells.
    let plain = ViCrop.crop(
      map.doubles(), rows: map.shape[0], columns: map.shape[1],
      image: ImageSize(width: size[0], height: size[1]), base: base)
    #expect(plain == crop || crop?.sharpness?.isNaN == true)
    let box = try #require(crop?.box)
    let expected = try #require(golden.expected["box"]?.arrayValue).compactMap(\.doubleValue)
    let isEqual = [box.x0, box.y0, box.x1, box.y1] == expected
    #expect(isEqual, "\(box)")
    GoldenReport.record(golden, "box", isEqual ? "equal" : "DIFFERENT")
  }

  @Test(
    "A video's position ids are vLLM's, those of the kept tokens and of a whole prompt",
    arguments: try GoldenCase.all(of: ["evs_positions"]))
  func videoPositions(_ golden: GoldenCase) throws {
    let shape = try #require(golden.parameters["shape"]?.objectValue)
    let extents = try ["t", "h", "w"].map { try #require(shape[$0]?.integerValue) }
    let layout = try TokenLayout(
      [
        "type": "qwen2_5_vl", "grid_thw": .array(extents.map { .integer($0) }),
        "merge_size": try #require(shape["merge"]),
        "tokens_per_second": try #require(golden.parameters["tokens_per_second"]), "second_per_grid": 1,
      ], tokenCount: nil)
    let kept = try #require(golden.expectedIndices("kept_indices"))
    let ids = try PositionIDs(keeping: kept, of: layout.tokenCount, layout: layout)
    let isEqual = ids.rows == golden.expectedRows("position_ids")
    #expect(isEqual)
    // The fourth row of vLLM's ids is the same number everywhere.
    let width = try #require(ids.gridWidth)
    #expect([width] == golden.expectedIndices("grid_width"))
    GoldenReport.record(golden, "position ids, grid width", isEqual ? "equal" : "DIFFERENT")

    // Three text tokens and the start of the video in front, four text tokens behind.
    let base = 4
    let prompt = ids.rows.map { row in
      Array(0..<base) + row.map { $0 + base } + (0..<4).map { base + width + $0 }
    }
    #expect(prompt == golden.expectedRows("prompt_position_ids"))
    let delta = (prompt.joined().max() ?? 0) + 1 - prompt[0].count
    #expect(delta == golden.expected["prompt_position_delta"]?.integerValue)
    GoldenReport.record(golden, "prompt position ids", delta < 0 ? "equal" : "DIFFERENT")
    GoldenReport.record(
      golden, "placeholders", "no counterpart: a prompt's placeholders are written before anything is pruned")
  }

  @Test("Every stored case of the authors' code is exported, and every file is read by a test")
  func everyStoredCase() throws {
    let names = Set(MethodRegistry.standard.descriptors.map(\.name)).union(GoldenReport.pieces)
    for (name, files) in try GoldenReport.stored() {
      #expect(!files.isEmpty, "\(name)")
      for file in files { #expect(names.contains(String(file.prefix { $0 != "/" })), "\(name): \(file)") }
    }
  }
}
