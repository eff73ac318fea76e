import JSON
import Tensors
import Testing

@testable import Parameters
@testable import PruningNumerics
@testable import TokenPruning

@Suite struct PruningInputTests {
  @Test("Attention is averaged over heads and queries, or over heads of the last query")
  func attention() throws {
    let values: [Float] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    func input(_ dimensions: [Int]) throws -> PruningInput {
      PruningInput(tokenCount: 2, tensors: ["attention": try floatTensor(values, dimensions)], layout: nil)
    }
    #expect(try input([6, 2]).attentionScores() == [6, 7])
    #expect(try input([2, 3, 2]).attentionScores() == [6, 7])
    #expect(try input([2, 3, 2]).attentionScores(queries: .last) == [8, 9])
    #expect(
      pruningError { _ = try input([12]).attentionScores() }?.message.contains("[2], [heads, 2]") == true)
    #expect(pruningError { _ = try input([12]).attentionScores() }?.message.contains("not [12]") == true)
  }

  @Test("Attention of every element type reads the same")
  func elementTypes() throws {
    let values: [Float] = [0.5, 0.25, 2, 0]
    for type in [ElementType.float64, .float32, .float16, .bfloat16] {
      let row = try Tensor.floatingPoint(values, shape: Shape([4]), as: type)
      let input = PruningInput(tokenCount: 4, tensors: ["attention": row], layout: nil)
      #expect(try input.attentionScores() == [0.5, 0.25, 2, 0])
    }
    let row = try Tensor.int64([3, 1, 2, 0], shape: Shape([4]))
    #expect(
      try PruningInput(tokenCount: 4, tensors: ["attention": row], layout: nil).attentionScores()[0] == 3)
  }

  @Test(
    "What is not finite is found in every row, whatever it is added to",
    arguments: [ElementType.float64, .float32, .float16, .bfloat16])
  func nonFinite(_ type: ElementType) throws {
    let largest: Float = type == .float16 ? 65504 : 0x1.fep127
    func scores(_ values: [Float], _ queries: PruningInput.QueryRows) throws(PruningError) -> [Double] {
      guard let shape = try? Shape([2, 3, 2]),
        let tensor = try? Tensor.floatingPoint(values, shape: shape, as: type)
      else { throw PruningError(at: "", "no tensor") }
      return try PruningInput(tokenCount: 2, tensors: ["attention": tensor], layout: nil)
        .attentionScores(queries: queries)
    }
    let sound = [Float](repeating: largest, count: 12)
    for queries in [PruningInput.QueryRows.mean, .last] {
      #expect(try scores(sound, queries) == [Double(largest), Double(largest)])
      for slot in 0..<12 {
        for value in [Float.infinity, -.infinity, .nan] {
          var damaged = sound
          damaged[slot] = value
          // Opposite infinities in one column would cancel out, if anything did.
          if slot < 10 { damaged[slot + 2] = -value }
          let error = pruningError { _ = try scores(damaged, queries) }
          let position = "[\(slot / 6), \(slot / 2 % 3), \(slot % 2)]"
          #expect(error?.message.contains("element \(position) is not finite") == true)
        }
      }
    }
  }

  @Test(
    "64-bit integers beyond 2^53 are refused as scores, in every row",
    arguments: [ElementType.int64, .uint64])
  func inexact(_ type: ElementType) throws {
    let limit = UInt64(1) << 53
    func scores(_ values: [UInt64], _ dimensions: [Int]) throws -> [Double] {
      let bytes = values.map(\.littleEndian).withUnsafeBytes { Array($0) }
      let tensor = try Tensor(elementType: type, shape: Shape(dimensions), bytes: bytes[...])
      return try PruningInput(tokenCount: 2, tensors: ["attention": tensor], layout: nil).attentionScores()
    }
    #expect(try scores([limit, 1], [2]) == [0x1p53, 1])
    if type == .int64 { #expect(try scores([0 &- limit, 1], [2]) == [-0x1p53, 1]) }
    let refused = [limit + 1, 1 << 60, type == .int64 ? 0 &- (limit + 1) : .max]
    for value in refused {
      for (values, dimensions) in [([1, value], [2]), ([1, 2, 3, value], [2, 2])] {
        #expect { try scores(values, dimensions) } throws: {
          ($0 as? PruningError)?.pointer == "attention"
            && ($0 as? PruningError)?.message.contains("is beyond 2^53") == true
        }
      }
    }
  }

  @Test("Heads of extent 0 are refused, not divided by")
  func noHeads() throws {
    for dimensions in [[0, 4], [2, 0, 4], [0, 2, 4]] {
      let input = PruningInput(
        tokenCount: 4, tensors: ["attention": try floatTensor([], dimensions)], layout: nil)
      #expect(pruningError { _ = try input.attentionScores() }?.pointer == "attention")
    }
  }

  @Test("Features must be [N, D]", arguments: [[6], [3, 2], [2, 3, 1], [2, 0]])
  func featureShapes(_ dimensions: [Int]) throws {
    let count = dimensions.reduce(1, *)
    let input = PruningInput(
      tokenCount: 2,
      tensors: ["image_features": try floatTensor(Array(repeating: 1, count: count), dimensions)],
      layout: nil)
    let error = pruningError { _ = try input.features() }
    #expect(error?.pointer == "image_features" && error?.message.contains("[2, D]") == true)
  }

  @Test("A float64 feature beyond float32 is refused, not turned into infinity")
  func tooLarge() throws {
    let bytes = [1.0, 1e300].map(\.bitPattern.littleEndian).withUnsafeBytes { Array($0) }
    let features = try Tensor(elementType: .float64, shape: Shape([2, 1]), bytes: bytes[...])
    let input = PruningInput(tokenCount: 2, tensors: ["image_features": features], layout: nil)
    #expect(pruningError { _ = try input.features() }?.message.contains("[1, 0]") == true)
  }

  @Test("Text of another width than the features is refused with both widths")
  func textWidth() throws {
    var tensors = try makeInput(4, columns: 6).tensors
    tensors["text_features"] = try floatTensor([1, 2, 3], [3])
    let input = PruningInput(tokenCount: 4, tensors: tensors, layout: nil)
    let method = try MethodRegistry.standard.make("cdpruner")
    let error = pruningError {
      _ = try method.select(SelectionTask(count: 1, candidates: [0, 1, 2, 3]), from: input)
    }
    #expect(error?.pointer == "text_features" && error?.message.contains("3 columns") == true)
  }
}
