public import Kernels

/// The rows of a matrix compared by the cosine of their angle: fast in float32, exact in float64 on demand.
///
/// The fast similarity of two rows lies within half of ``slack`` of the exact one, so rows whose fast values
/// differ by more than ``slack`` are in that order, and closer ones are compared exactly. A choice made so is
/// the float64 one, whatever kernels computed it. The cosine with a zero row is 0.
///
/// A class, because handing on a table of kernels by value costs more than a comparison.
public final class CosineSpace: Sendable {
  public let features: FeatureRows
  /// What fast products are formed of, and the factor of each row that makes its length 1.
  public let fast: FeatureRows
  public let factors: [Float]
  public let kernels: KernelSet
  public let slack: Float
  /// The lengths of the rows, in float64.
  private let norms: [Double]

  /// Rows of such lengths are multiplied as they are: no product of theirs overflows, and what vanishes is
  /// far below ``slack``.
  private static let ordinaryNorms = 0x1p-30...0x1p30

  /// - Complexity: O(rows x columns).
  public convenience init(_ features: Matrix, kernels: KernelSet = .active) {
    self.init(features, norms: features.norms(kernels), kernels: kernels)
  }

  /// - Parameter norms: those of the rows.
  public convenience init(_ features: Matrix, norms: [Double], kernels: KernelSet = .active) {
    self.init(FeatureRows(features, kernels), norms: norms, kernels: kernels)
  }

  /// - Parameter norms: those of the rows.
  public init(_ features: FeatureRows, norms: [Double], kernels: KernelSet = .active) {
    self.features = features
    self.kernels = kernels
    self.norms = norms
    if norms.allSatisfy({ $0 == 0 || Self.ordinaryNorms.contains($0) }) {
      fast = features
      factors = norms.map { $0 > 0 ? Float(1 / $0) : 0 }
    } else {
      fast = FeatureRows(features.matrix().normalized(norms: norms, kernels), kernels)
      factors = norms.map { $0 > 0 ? 1 : 0 }
    }
    slack = 2 * KernelSet.tolerance(columns: features.columns)
  }

  public var rows: Int { features.count }

  public var columns: Int { features.columns }

  public func isZero(_ row: Int) -> Bool { factors[row] == 0 }

  /// The length of a row, in float64.
  public func norm(of row: Int) -> Double { norms[row] }

  /// The exact similarity of two rows, the same whichever comes first.
  public func exactSimilarity(_ a: Int, _ b: Int) -> Double {
    exactSimilarities(of: SIMD4(repeating: a), to: b)[0]
  }

  /// The fast similarities of one row to four.
  public func similarities(of row: Int, to others: SIMD4<Int>) -> SIMD4<Float> {
    withReader { $0.similarities(of: row, to: others) }
  }

  /// The fast similarities of four rows to four others: for each of the others, to the four.
  public func similarities(of rows: SIMD4<Int>, to others: SIMD4<Int>) -> SimilarityTile {
    withReader { $0.similarities(of: rows, to: others) }
  }

  /// The largest exact similarity of one row to others, given that the largest fast one is `fastest`.
  ///
  /// Only those whose fast similarity comes near can be the largest, so only they are compared exactly.
  /// - Parameters:
  ///   - others: the row itself is passed over.
  ///   - slack: twice the error bound of `fastest`, or that of this space where it is larger.
  ///   - enough: as soon as one is that large, the search ends with it.
  public func largestExactSimilarity(
    of row: Int, to others: ArraySlice<Int>, fastest: Float, within slack: Float,
    enough: Double = .infinity
  ) -> Double {
    var largest = -Double.infinity
    var position = others.startIndex
    while position < others.endIndex {
      let last = others.endIndex - 1
      let four = SIMD4(
        others[position], others[min(position + 1, last)], others[min(position + 2, last)],
        others[min(position + 3, last)])
      let similarities = similarities(of: row, to: four)
      for lane in 0..<min(4, others.endIndex - position)
      where similarities[lane] >= fastest - slack && four[lane] != row {
        largest = max(largest, exactSimilarity(row, four[lane]))
        if largest >= enough { return largest }
      }
      position += 4
    }
    return largest
  }
}

/// The fast similarities of four rows, a lane each, to four others, a column each.
public struct SimilarityTile: Sendable {
  public private(set) var columns: (SIMD4<Float>, SIMD4<Float>, SIMD4<Float>, SIMD4<Float>)

  public init(columns: (SIMD4<Float>, SIMD4<Float>, SIMD4<Float>, SIMD4<Float>)) { self.columns = columns }

  /// Leaves out what rows are to themselves.
  public mutating func ignoreDiagonal() {
    columns.0[0] = -.infinity
    columns.1[1] = -.infinity
    columns.2[2] = -.infinity
    columns.3[3] = -.infinity
  }

  /// The same by row: for each of the four, to the others.
  @inline(__always)
  public var transposed: SimilarityTile {
    let (a, b, c, d) = columns
    return SimilarityTile(
      columns: (
        SIMD4(a[0], b[0], c[0], d[0]), SIMD4(a[1], b[1], c[1], d[1]), SIMD4(a[2], b[2], c[2], d[2]),
        SIMD4(a[3], b[3], c[3], d[3])
      ))
  }

  /// Of each row the largest to one of the others.
  @inline(__always)
  public var largest: SIMD4<Float> {
    var largest = columns.0
    largest.raise(to: columns.1)
    largest.raise(to: columns.2)
    largest.raise(to: columns.3)
    return largest
  }
}
