import KernelReferences
import Kernels
import Testing

@testable import GreedySearch
@testable import PruningNumerics
@testable import TokenPruning

/// Fast kernels against the obvious loops, over lengths that leave every possible tail.
@Suite struct KernelTests {
  private static let lengths = Array(0...41) + [63, 64, 65, 127, 255, 1000, 1024]

  @Test("Products agree with the reference", arguments: lengths)
  func products(_ count: Int) {
    var numbers = TestNumbers(UInt64(count) + 7)
    let a = numbers.floats(count)
    let others = (0..<4).map { _ in numbers.floats(count) }
    let wide = others[0].map(Double.init)
    let fast = KernelSet.portable
    let bound = Double(count) * Double(KernelSet.tolerance(columns: count))
    a.withUnsafeBufferPointer { a in
      others[0].withUnsafeBufferPointer { b0 in
        others[1].withUnsafeBufferPointer { b1 in
          others[2].withUnsafeBufferPointer { b2 in
            others[3].withUnsafeBufferPointer { b3 in
              guard let a = a.baseAddress, let b0 = b0.baseAddress, let b1 = b1.baseAddress,
                let b2 = b2.baseAddress, let b3 = b3.baseAddress
              else { return }
              let four = fast.column(a, b0, b1, b2, b3, count)
              for (lane, b) in [b0, b1, b2, b3].enumerated() {
                let exact = ReferenceKernels.dot(a, b, count)
                #expect(abs(Double(fast.dot(a, b, count)) - exact) <= bound)
                #expect(abs(Double(four[lane]) - exact) <= bound)
                #expect(abs(fast.preciseDot(a, b, count) - exact) <= 1e-15 * Double(count))
              }
              let widened = wide.withUnsafeBufferPointer { wide in
                wide.baseAddress.map { fast.widenedDot(a, $0, count) } ?? 0
              }
              #expect(widened == fast.preciseDot(a, b0, count))
            }
          }
        }
      }
    }
  }

  @Test("Scaling and accumulation equal the reference to the bit", arguments: lengths)
  func elementwise(_ count: Int) {
    var numbers = TestNumbers(UInt64(count) + 1)
    let source = numbers.floats(count)
    var results: [[Float]] = []
    var sums: [[Double]] = []
    for kernels in [KernelSet.portable, .reference] {
      var target = [Float](repeating: 0, count: count)
      var sum = (0..<count).map { Double($0) }
      source.withUnsafeBufferPointer { source in
        target.withUnsafeMutableBufferPointer { target in
          sum.withUnsafeMutableBufferPointer { sum in
            guard let source = source.baseAddress, let target = target.baseAddress, let sum = sum.baseAddress
            else { return }
            kernels.scale(source, 1 / 3.0, target, count)
            kernels.accumulate(source, sum, count)
          }
        }
      }
      results.append(target)
      sums.append(sum)
    }
    #expect(results[0] == results[1])
    #expect(sums[0] == sums[1])
  }

  @Test(
    "Rows of every scale normalise to length 1",
    arguments: [Float.leastNonzeroMagnitude, 1e-30, 1, 1e30, 3e38])
  func normalisation(_ scale: Float) {
    let matrix = Matrix(rows: 2, columns: 3, values: [scale, -scale, scale, 0, 0, 0])
    let unit = matrix.normalized(norms: matrix.norms())
    let length = (0..<3).reduce(0.0) { $0 + Double(unit[0, $1]) * Double(unit[0, $1]) }
    #expect(abs(length - 1) < 1e-6)
    #expect(unit.row(1).allSatisfy { $0 == 0 })
  }

  @Test("The highest scores are those of a full sort, ties to the lower index", arguments: 0..<60)
  func ranking(_ seed: Int) {
    var numbers = TestNumbers(UInt64(seed))
    let count = 1 + numbers.below(200)
    // Few distinct values make many ties.
    let scores = (0..<count).map { _ in Double(numbers.below(1 + seed)) }
    let candidates = (0..<count).filter { _ in numbers.below(4) > 0 }
    let keep = candidates.isEmpty ? 0 : numbers.below(candidates.count + 1)
    let fast = Ranking.highest(keep, of: scores, among: candidates)
    #expect(
      fast
        == Array(
          candidates.sorted { a, b in scores[a] != scores[b] ? scores[a] > scores[b] : a < b }.prefix(keep)))
  }

  @Test(
    "Indices are brought into ascending order whatever theirs is",
    arguments: [0, 1, 2, 63, 64, 65, 130, 1000])
  func ascending(_ bound: Int) {
    var numbers = TestNumbers(UInt64(bound) + 5)
    for share in 1...4 {
      let indices = (0..<bound).filter { _ in numbers.below(share) == 0 }
      #expect(Ranking.ascending(indices, below: bound) == indices)
      let left = Set(indices)
      #expect(Ranking.indices(below: bound, without: indices) == (0..<bound).filter { !left.contains($0) })
      let cut = indices.count / 3
      #expect(Ranking.merged(Array(indices[..<cut]), Array(indices[cut...])) == indices)
      let (even, odd) = (indices.filter { $0 % 2 == 0 }, indices.filter { $0 % 2 == 1 })
      #expect(Ranking.merged(even, odd) == indices && Ranking.merged(odd, even) == indices)
      #expect(Ranking.ascending(indices.reversed(), below: bound) == indices)
      let scores = (0..<bound).map { _ in Double(numbers.below(1000)) }
      let mixed = indices.sorted { scores[$0] < scores[$1] }
      #expect(Ranking.ascending(mixed, below: bound) == indices)
    }
  }

  @Test("The seeded generator gives SplitMix64's published sequence")
  func generator() {
    var generator = SeededGenerator(seed: 1_234_567)
    let expected: [UInt64] = [
      6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
    ]
    #expect(expected.allSatisfy { $0 == generator.next() })
  }

  @Test("Lazy searches choose the same rows with either set of kernels", arguments: 1...8)
  func kernelsDoNotDecide(_ seed: UInt64) throws {
    var numbers = TestNumbers(seed)
    let rows = 40
    // Rows of few distinct values: many near ties, which float32 alone would decide by rounding.
    let values = (0..<(rows * 33)).map { _ in Float(numbers.below(2)) * 2 - 1 + Float(numbers.below(2)) * 1e-7
    }
    let matrix = Matrix(rows: rows, columns: 33, values: values)
    let chosen = try [KernelSet.portable, .reference].map { kernels in
      var search = FarthestPointSearch(CosineSpace(matrix, kernels: kernels), among: Array(0..<rows))
      return try search.next(rows)
    }
    #expect(chosen[0] == chosen[1])
  }
}
