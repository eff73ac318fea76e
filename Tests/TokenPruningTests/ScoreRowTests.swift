import Tensors
import Testing

@testable import Numerics
@testable import TokenPruning

/// The choice over raw scores against the ranking that every method uses.
@Suite struct ScoreRowTests {
  /// Bits of numbers that are finite in each type: ties, both zeros, subnormals, extremes and noise.
  private static func bits(_ type: ElementType, _ count: Int, seed: UInt64) -> [UInt32] {
    var generator = SeededGenerator(seed: seed)
    let special: [UInt32] =
      switch type {
      case .float32: [0, 0x8000_0000, 1, 0x8000_0001, 0x7f7f_ffff, 0xff7f_ffff, 0x3f80_0000]
      case .float16: [0, 0x8000, 1, 0x8001, 0x7bff, 0xfbff, 0x3c00]
      default: [0, 0x8000, 1, 0x8001, 0x7f7f, 0xff7f, 0x3f80]
      }
    let exponent: UInt32 = type == .float32 ? 0x7f80_0000 : type == .float16 ? 0x7c00 : 0x7f80
    let mask: UInt32 = type == .float32 ? .max : 0xffff
    return (0..<count).map { _ in
      let number = generator.next()
      if number % 3 == 0 { return special[Int(number >> 8) % special.count] }
      let bits = UInt32(truncatingIfNeeded: number >> 16) & mask
      return bits & exponent == exponent ? bits ^ exponent : bits
    }
  }

  private static func bytes(_ bits: [UInt32], _ type: ElementType) -> [UInt8] {
    bits.flatMap { bits in
      (0..<type.byteWidth).map { UInt8(truncatingIfNeeded: bits >> UInt32(8 * $0)) }
    }
  }

  @Test("Keeps what the ranking keeps", arguments: [ElementType.float16, .bfloat16, .float32])
  func sameChoice(type: ElementType) throws {
    var scratch = ScoreRow.Scratch()
    for (round, count) in ([1, 2, 3, 7, 8, 9, 64, 255, 576, 1000] + Array(repeating: 40, count: 40))
      .enumerated()
    {
      let bytes = [9] + Self.bytes(Self.bits(type, count, seed: UInt64(round)), type)
      let tensor = try Tensor(elementType: type, shape: Shape([count]), bytes: bytes[1...])
      let row = try #require(ScoreRow(bytes[1...], type))
      for kept in Set([0, 1, count / 9, count / 2, count - 1, count]) {
        let expected = Ranking.highest(kept, of: tensor.doubles(), among: Array(0..<count)).sorted()
        var found: [Int] = []
        #expect(row.withHighest(kept, &scratch) { found = $0.map(Int.init) })
        #expect(found == expected, "\(type) \(count) \(kept)")
      }
    }
  }

  @Test("Keeps what the ranking of the means keeps", arguments: [ElementType.float16, .bfloat16, .float32])
  func sameChoiceOfMeans(type: ElementType) throws {
    var scratch = ScoreRow.Scratch()
    for (round, shape) in [[2, 1], [2, 40], [3, 41], [5, 7], [16, 576], [7, 130], [4, 3, 64]].enumerated() {
      let count = shape[shape.count - 1]
      let elements = shape.reduce(1, *)
      let bytes = [9] + Self.bytes(Self.bits(type, elements, seed: UInt64(round)), type)
      let tensor = try Tensor(elementType: type, shape: Shape(shape), bytes: bytes[1...])
      let row = try #require(ScoreRow(bytes[1...], type, rows: elements / count))
      #expect(row.count == count)
      let input = PruningInput(tokenCount: count, tensors: ["attention": tensor], layout: nil)
      let scores = try input.attentionScores()
      for kept in Set([0, 1, count / 3, count]) {
        let expected = Ranking.highest(kept, of: scores, among: Array(0..<count)).sorted()
        var found: [Int] = []
        #expect(row.withHighest(kept, &scratch) { found = $0.map(Int.init) })
        #expect(found == expected, "\(type) \(shape) \(kept)")
      }
    }
  }

  @Test(
    "Says no to NaN and infinity in any row, even where they cancel out",
    arguments: [ElementType.float16, .float32])
  func notFiniteMeans(type: ElementType) throws {
    let exponent: UInt32 = type == .float32 ? 0x7f80_0000 : 0x7c00
    let sign: UInt32 = type == .float32 ? 0x8000_0000 : 0x8000
    var scratch = ScoreRow.Scratch()
    let columns: [[UInt32]] = [
      [exponent, exponent | sign, 0], [0, 0, exponent | 1], [sign | exponent, 1, 1],
    ]
    for column in columns {
      let bits = column.flatMap { element -> [UInt32] in [0, element] }
      let row = try #require(ScoreRow(Self.bytes(bits, type)[...], type, rows: 3))
      #expect(!row.withHighest(1, &scratch) { _ in Issue.record("called") })
      let tensor = try Tensor(elementType: type, shape: Shape([3, 2]), bytes: Self.bytes(bits, type)[...])
      let input = PruningInput(tokenCount: 2, tensors: ["attention": tensor], layout: nil)
      #expect(throws: PruningError.self) { try input.attentionScores() }
    }
  }

  @Test("Says no to NaN and infinity", arguments: [ElementType.float16, .bfloat16, .float32])
  func notFinite(type: ElementType) throws {
    let exponent: UInt32 = type == .float32 ? 0x7f80_0000 : type == .float16 ? 0x7c00 : 0x7f80
    let sign: UInt32 = type == .float32 ? 0x8000_0000 : 0x8000
    var scratch = ScoreRow.Scratch()
    for bits in [exponent, exponent | sign, exponent | 1] {
      let row = try #require(ScoreRow(Self.bytes([0, bits, 1], type)[...], type))
      #expect(!row.withHighest(1, &scratch) { _ in Issue.record("called") })
    }
  }

  @Test("Reads the three types that scores come in, in whole elements")
  func types() {
    for type in ElementType.allCases where ![.float16, .bfloat16, .float32].contains(type) {
      #expect(ScoreRow(ArraySlice([UInt8](repeating: 0, count: 16)), type) == nil)
    }
    #expect(ScoreRow([0, 0, 0], .float16) == nil)
    #expect(
      ScoreRow([0, 0, 0, 0], .float16, rows: 0) == nil && ScoreRow([0, 0, 0, 0], .float16, rows: 4) == nil)
  }
}
