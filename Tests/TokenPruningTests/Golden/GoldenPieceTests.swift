import JSON
import Tensors
import Testing

@testable import TokenPruning

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
    let order = FloatDeterminantalSearch.select(count, of: kernel.floats(), size: kernel.shape[0])
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
      image: ImageSize(width: size[0], height: size[1]), base: base)
    if golden.isFlagged("documents_bug") {
      let bug = golden.flags["bug"]?.stringValue ?? ""
      return GoldenReport.record(golden, "box", "not compared: documents_bug \(bug)")
    }
    let box = try #require(crop?.box)
    let expected = try #require(golden.expected["box"]?.arrayValue).compactMap(\.doubleValue)
    let isEqual = [box.x0, box.y0, box.x1, box.y1] == expected
    #expect(isEqual, "\(box)")
    GoldenReport.record(golden, "box", isEqual ? "equal" : "DIFFERENT")
  }
}
