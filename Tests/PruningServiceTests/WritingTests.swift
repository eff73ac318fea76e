import JSON
import Synchronization
import TensorFormats
import Tensors
import Testing
import TokenPruning

@testable import PruningService

/// A long answer is written in parts, between which somebody may say that nobody waits for it any more.
@Suite("Writing is given up")
struct WritingTests {
  /// Says stop once it was asked `limit` times.
  private final class Patience: Sendable {
    private let asked = Atomic<Int>(0)
    let limit: Int

    init(_ limit: Int = .max) { self.limit = limit }

    var count: Int { asked.load(ordering: .relaxed) }
    var interruption: Interruption {
      { [self] in asked.wrappingAdd(1, ordering: .relaxed).newValue > limit }
    }
  }

  private static func answer(images: Int, rows: Int) throws -> Answer {
    let samples = try (0..<images).map { image in
      let values = (0..<(rows * 4)).map { Float(image * $0) / 8 }
      return Answer.Sample(
        members: ["region_tokens": .integer(image)], indices: [("kept_indices", Array(0..<rows))],
        tensors: [("image_features", try .float32(values, shape: Shape([rows, 4])))],
        tokenCount: rows, keptCount: rows)
    }
    return Answer(
      samples: samples, isBatched: true, shared: ["method": "uniform"], reading: PreparedMembers([]))
  }

  @Test("asked between images, and obeyed whenever that is", arguments: ["json", "safetensors", "npy"])
  func images(format name: String) throws {
    let format = try #require(TensorFormats.answers.first { $0.name == name })
    let answer = try Self.answer(images: name == NPYFormat.name ? 1 : 40, rows: 6)
    let whole = Patience()
    let bytes = try answer.encoded(as: format, isInterrupted: whole.interruption)
    #expect(bytes == (try answer.encoded(as: format)))
    #expect(whole.count >= answer.samples.count)
    for limit in [0, 1, whole.count / 2, whole.count - 1] where limit < whole.count {
      #expect(throws: Problem.writingTookTooLong) {
        try answer.encoded(as: format, isInterrupted: Patience(limit).interruption)
      }
    }
  }

  @Test("asked within one image, if that is large")
  func rows() throws {
    let answer = try Self.answer(images: 1, rows: 25_000)
    let patience = Patience()
    _ = try answer.encoded(as: JSONTensorFormat.self, isInterrupted: patience.interruption)
    #expect(patience.count >= 12)
    #expect(throws: Problem.writingTookTooLong) {
      try answer.encoded(as: JSONTensorFormat.self, isInterrupted: Patience(6).interruption)
    }
  }

  @Test("density peaks ask every few rows")
  func densityPeaks() throws {
    let patience = Patience()
    let features = try Tensor.float32((0..<2048).map { Float($0 % 37) }, shape: Shape([1024, 2]))
    let document = TensorDocument(
      tensors: TensorBundle(["image_features": .one(features)]),
      parameters: ["anchors": "density_peaks", "keep_tokens": 64])
    _ = try PruningService.Operation.compress.run(document, isOverdue: patience.interruption)
    #expect(patience.count >= 3 * 1024 / 64)
  }

  @Test("asked while axes are brought in another order")
  func axes() throws {
    let features = try Tensor(
      elementType: .uint8, shape: Shape([1024, 1024]), bytes: [UInt8](repeating: 1, count: 1 << 20)[...])
    let document = TensorDocument(
      tensors: TensorBundle(["image_features": .one(features)]),
      parameters: ["axes": ["image_features": "dn"], "method": "uniform", "keep_tokens": 4])
    let patience = Patience(2)
    let error = #expect(throws: Problem.self) {
      try PruningService.Operation.prune.run(document, isOverdue: patience.interruption)
    }
    #expect(error?.slug == "compute-timeout")
    #expect(patience.count == 3)
  }

  @Test("asked between pictures")
  func pictures() throws {
    let answer = try Self.answer(images: 5, rows: 4)
    let patience = Patience()
    #expect(try answer.picture(patience.interruption) == answer.picture())
    #expect(patience.count == 5)
    #expect(throws: Problem.writingTookTooLong) { try answer.picture(Patience(4).interruption) }
  }

  @Test("written in parts, numbers are the same", arguments: ElementType.allCases)
  func parts(of type: ElementType) throws {
    let count = 20_001
    let bytes = (0..<(count * type.byteWidth)).map { index in
      // Small numbers of every type: high bytes of floating-point numbers stay below those of infinity.
      UInt8(truncatingIfNeeded: index &* 37) & (type == .bool ? 1 : 0x3f)
    }
    let tensor = try Tensor(elementType: type, shape: Shape([count]), bytes: bytes[...])
    let text = try JSONTensorFormat.encode([("x", tensor)], response: [:])
    guard type != .int64 else {
      let list = try JSONValue.parse(text[...]).objectValue?["x"]?.arrayValue
      #expect(list?.compactMap(\.integerValue) == tensor.integers())
      return
    }
    let again = try JSONTensorFormat.decode(text[...], DecodingHints())
    #expect(again.tensors["x"] == .one(tensor))
  }
}
