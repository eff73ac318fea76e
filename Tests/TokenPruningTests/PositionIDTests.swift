import JSON
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

@Suite struct PositionIDTests {
  @Test("Original ids are kept with gaps, or renumbered")
  func plain() throws {
    #expect(try PositionIDs(keeping: [1, 4], of: 6).rows == [[1, 4]])
    #expect(try PositionIDs(keeping: [1, 4], of: 6, renumber: true).rows == [[0, 1]])
  }

  @Test("Given ids are gathered, and the delta leads to where the text goes on")
  func gathered() throws {
    let ids = try Tensor.int64([35, 36, 37, 38], shape: Shape([4]))
    let kept = try PositionIDs(keeping: [0, 3], of: 4, positions: ids)
    #expect(kept.rows == [[35, 38]] && kept.delta == 2 && kept.nextPosition == 39)
    let renumbered = try PositionIDs(keeping: [0, 3], of: 4, positions: ids, renumber: true)
    #expect(renumbered.rows == [[35, 36]] && renumbered.delta == 0 && renumbered.nextPosition == 37)
  }

  @Test("Multimodal ids [3, N] keep time, height and width")
  func multimodal() throws {
    let ids = try Tensor.int64([5, 5, 5, 5, 5, 5, 6, 6, 5, 6, 5, 6], shape: Shape([3, 4]))
    let kept = try PositionIDs(keeping: [1, 2], of: 4, positions: ids)
    #expect(kept.rows == [[5, 5], [5, 6], [6, 5]])
    // Text goes on at 7, which is 2 behind the first id, and 2 tokens are left. Before it was 2 - 4.
    #expect(kept.delta == 0 && kept.nextPosition == 7)
  }

  @Test("Other shapes, types and ids are refused")
  func refuses() throws {
    let shapes = [[3], [2, 4], [4, 3]]
    for shape in shapes {
      let ids = try Tensor.int64(Array(repeating: 0, count: shape.reduce(1, *)), shape: Shape(shape))
      #expect(
        pruningError { _ = try PositionIDs(keeping: [0], of: 4, positions: ids) }?.pointer == "position_ids")
    }
    let floats = try floatTensor([0, 1, 2, 3], [4])
    #expect(pruningError { _ = try PositionIDs(keeping: [0], of: 4, positions: floats) } != nil)
    let huge = try Tensor.int64([0, 1, 2, .max], shape: Shape([4]))
    #expect(pruningError { _ = try PositionIDs(keeping: [0], of: 4, positions: huge) } != nil)
  }

  @Test("Qwen's ids follow from the layout: frame, row, column")
  func rotary() throws {
    let layout = try TokenLayout(["type": "qwen2_vl", "grid_thw": [1, 4, 6]], tokenCount: 6)
    let kept = try PositionIDs(keeping: [1, 3, 5], of: 6, layout: layout)
    #expect(kept.rows == [[0, 0, 0], [0, 1, 1], [1, 0, 2]])
    // Text goes on at 3: 3 tokens + 0.
    #expect(kept.delta == 0)
    #expect(kept.nextPosition == 3 && kept.gridWidth == 3)
    #expect(try PositionIDs(keeping: [1, 3], of: 6, layout: layout, renumber: true).rows[2] == [0, 1])
    // Given ids win.
    let ids = try Tensor.int64(Array(10..<16), shape: Shape([6]))
    #expect(try PositionIDs(keeping: [1, 3], of: 6, positions: ids, layout: layout).rows == [[11, 13]])
  }

  @Test("Qwen2.5-VL spaces frames by time, in float32 and cut")
  func timedFrames() throws {
    let layout = try TokenLayout(
      ["type": "qwen2_5_vl", "grid_thw": [4, 2, 2], "second_per_grid": 0.7, "tokens_per_second": 2],
      tokenCount: 4)
    #expect(layout.rotaryPositions == [[0, 1, 2, 4], [0, 0, 0, 0], [0, 0, 0, 0]])
  }

  @Test("Ids that depend on text must be given")
  func textBetween() throws {
    for (type, grid) in [("qwen3_vl", [2, 2, 2] as JSONValue), ("qwen2_vl", [[1, 2, 2], [1, 2, 2]])] {
      let layout = try TokenLayout(["type": .string(type), "grid_thw": grid], tokenCount: 2)
      #expect(!layout.hasRotaryPositions)
      #expect(
        pruningError { _ = try PositionIDs(keeping: [0], of: 2, layout: layout) }?.pointer == "position_ids")
    }
  }

  @Test("Nothing kept, and nothing to keep")
  func empty() throws {
    #expect(try PositionIDs(keeping: [], of: 3).rows == [[]])
    let none = try Tensor.int64([], shape: Shape([3, 0]))
    #expect(try PositionIDs(keeping: [], of: 0, positions: none).rows == [[], [], []])
  }
}
