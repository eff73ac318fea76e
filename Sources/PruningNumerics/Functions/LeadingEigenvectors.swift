import Kernels

/// The eigenvectors of a symmetric matrix that belong to its largest eigenvalues.
///
/// Householder reflections make the matrix tridiagonal, implicit QL finds its eigenvalues, inverse iteration the vectors
/// of those asked for, each kept orthogonal to those before it (Golub and Van Loan, Matrix Computations, 4th edition,
/// sections 8.2.2, 8.3 and 8.4.1).
public struct LeadingEigenvectors {
  /// Descending.
  public private(set) var values: [Double] = []
  /// One of length 1 for each value.
  public private(set) var vectors: [[Double]] = []

  private let size: Int
  private var matrix: [Double]
  private var diagonal: [Double]
  private var offDiagonal: [Double]
  /// Of each step its vector v, with the reflection 1 - 2 v v^T; empty where nothing had to be done.
  private var reflections: [[Double]] = []

  /// - Parameters:
  ///   - matrix: row by row [size, size]; its lower triangle is read.
  ///   - count: at most `size`.
  /// - Throws: when it is more work than the limit allows.
  /// - Complexity: O(2/3 size^3 + count^2 size).
  public init(_ count: Int, of matrix: [Double], size: Int, _ steps: inout StepCounter) throws(PruningError) {
    precondition(matrix.count == size * size && count <= size)
    self.size = size
    self.matrix = matrix
    diagonal = Array(repeating: 0, count: size)
    offDiagonal = diagonal
    for column in 0..<size {
      let left = size - column
      try steps.spend(left * left)
      reduce(column)
    }
    self.matrix = []
    try steps.spend(40 * size * size)
    let eigenvalues = Self.eigenvalues(diagonal, offDiagonal).sorted(by: >)
    var generator = SeededGenerator(seed: 0)
    for value in eigenvalues.prefix(count) {
      try steps.spend(4 * size * (40 + vectors.count))
      values.append(value)
      vectors.append(vector(of: value, &generator))
    }
    try steps.spend(count * size * size)
    vectors = vectors.map(restored)
  }

  /// One step of the reduction: what is below the element under the diagonal of a column becomes 0.
  private mutating func reduce(_ column: Int) {
    let size = size
    diagonal[column] = matrix[column * size + column]
    let first = column + 1
    guard first < size else { return }
    var v = (first..<size).map { matrix[$0 * size + column] }
    let tail = v.dropFirst().reduce(0) { $0 + $1 * $1 }
    guard tail > 0 else {
      offDiagonal[column] = v[0]
      reflections.append([])
      return
    }
    let length = (v[0] * v[0] + tail).squareRoot()
    let target = v[0] > 0 ? -length : length
    offDiagonal[column] = target
    v[0] -= target
    let norm = v.reduce(0) { $0 + $1 * $1 }.squareRoot()
    v = v.map { $0 / norm }
    update(from: first, by: v)
    reflections.append(v)
  }

  /// A - v w^T - w v^T with w = 2 (A v - (v^T A v) v), on the rows and columns from `first`.
  private mutating func update(from first: Int, by v: [Double]) {
    let count = v.count
    let size = size
    let kernels = KernelSet.active.wideRows
    var w = [Double](repeating: 0, count: count)
    matrix.withUnsafeMutableBufferPointer { matrix in
      v.withUnsafeBufferPointer { v in
        w.withUnsafeMutableBufferPointer { w in
          guard let base = matrix.baseAddress, let v = v.baseAddress, let w = w.baseAddress else { return }
          for row in 0..<count {
            let own = base + (first + row) * size + first
            w[row] += kernels.multiplyAdding(own, v, v[row], w, row) + own[row] * v[row]
          }
          let middle = wideDot(w, v, count)
          for row in 0..<count { w[row] = 2 * (w[row] - middle * v[row]) }
          for row in 0..<count {
            let own = base + (first + row) * size + first
            kernels.subtractMultiples(own, v[row], w, w[row], v, row + 1)
          }
        }
      }
    }
  }

  /// All eigenvalues of a symmetric tridiagonal matrix, in no particular order.
  private static func eigenvalues(_ diagonal: [Double], _ offDiagonal: [Double]) -> [Double] {
    var d = diagonal
    var e = offDiagonal
    let count = d.count
    for low in 0..<count {
      // Each eigenvalue takes two turns or so; whatever the numbers, the loop ends.
      for _ in 0..<60 {
        var end = low
        while end + 1 < count, e[end].magnitude > 0x1p-53 * (d[end].magnitude + d[end + 1].magnitude) {
          end += 1
        }
        if end == low { break }
        var g = (d[low + 1] - d[low]) / (2 * e[low])
        let r = (g * g + 1).squareRoot()
        g = d[end] - d[low] + e[low] / (g + (g >= 0 ? r : -r))
        var (sine, cosine, shift) = (1.0, 1.0, 0.0)
        var slot = end - 1
        while slot >= low {
          let f = sine * e[slot]
          let b = cosine * e[slot]
          let radius = (f * f + g * g).squareRoot()
          e[slot + 1] = radius
          if radius == 0 {
            d[slot + 1] -= shift
            e[end] = 0
            break
          }
          sine = f / radius
          cosine = g / radius
          g = d[slot + 1] - shift
          let turned = (d[slot] - g) * sine + 2 * cosine * b
          shift = sine * turned
          d[slot + 1] = g + shift
          g = cosine * turned - b
          slot -= 1
        }
        if slot >= low { continue }
        d[low] -= shift
        e[low] = g
        e[end] = 0
      }
    }
    return d
  }

  /// A vector of the tridiagonal matrix, orthogonal to those found before.
  private func vector(of value: Double, _ generator: inout SeededGenerator) -> [Double] {
    let solver = ShiftedTridiagonal(diagonal, offDiagonal, shift: value)
    var x = (0..<size).map { _ in Double(generator.next() >> 11) * 0x1p-53 - 0.5 }
    for _ in 0..<4 {
      solver.solve(&x)
      // Twice, because the first time leaves rounding of what was taken away.
      for _ in 0..<2 {
        for other in vectors {
          let part = innerProduct(x, other)
          addMultiple(-part, other, &x, x.count)
        }
      }
      let largest = x.reduce(0) { max($0, $1.magnitude) }
      guard largest > 0, largest.isFinite else {
        x = (0..<size).map { _ in Double(generator.next() >> 11) * 0x1p-53 - 0.5 }
        continue
      }
      x = x.map { $0 / largest }
      let norm = innerProduct(x, x).squareRoot()
      x = x.map { $0 / norm }
    }
    return x
  }

  /// The vector of the matrix itself for one of the tridiagonal one.
  private func restored(_ vector: [Double]) -> [Double] {
    var x = vector
    for (column, v) in reflections.enumerated().reversed() where !v.isEmpty {
      let first = column + 1
      x.withUnsafeMutableBufferPointer { x in
        v.withUnsafeBufferPointer { v in
          guard let x = x.baseAddress, let v = v.baseAddress else { return }
          addMultiple(-2 * wideDot(v, x + first, size - first), v, x + first, size - first)
        }
      }
    }
    return x
  }
}

/// T - shift as two triangles, rows exchanged where that keeps numbers small.
private struct ShiftedTridiagonal {
  private var pivots: [Double]
  private var second: [Double]
  private var third: [Double]
  private var factors: [Double]
  private var isExchanged: [Bool]

  init(_ diagonal: [Double], _ offDiagonal: [Double], shift: Double) {
    let count = diagonal.count
    pivots = diagonal.map { $0 - shift }
    second = offDiagonal
    third = Array(repeating: 0, count: count)
    factors = third
    isExchanged = Array(repeating: false, count: count)
    let scale = zip(diagonal, offDiagonal).reduce(shift.magnitude) { max($0, $1.0.magnitude, $1.1.magnitude) }
    let least = max(scale * 0x1p-53, .leastNormalMagnitude)
    for row in 0..<max(count - 1, 0) {
      let below = offDiagonal[row]
      if below.magnitude > pivots[row].magnitude {
        isExchanged[row] = true
        let factor = pivots[row] / below
        factors[row] = factor
        let (upperSecond, lowerPivot) = (second[row], pivots[row + 1])
        pivots[row] = below
        second[row] = lowerPivot
        third[row] = row + 2 < count ? second[row + 1] : 0
        pivots[row + 1] = upperSecond - factor * lowerPivot
        if row + 2 < count { second[row + 1] = -factor * third[row] }
      } else {
        if pivots[row].magnitude < least { pivots[row] = least }
        factors[row] = below / pivots[row]
        pivots[row + 1] -= factors[row] * second[row]
      }
    }
    if let last = pivots.last, last.magnitude < least { pivots[count - 1] = least }
  }

  func solve(_ x: inout [Double]) {
    let count = x.count
    for row in 0..<max(count - 1, 0) {
      if isExchanged[row] { x.swapAt(row, row + 1) }
      x[row + 1] -= factors[row] * x[row]
    }
    for row in (0..<count).reversed() {
      var sum = x[row]
      if row + 1 < count { sum -= second[row] * x[row + 1] }
      if row + 2 < count { sum -= third[row] * x[row + 2] }
      x[row] = sum / pivots[row]
    }
  }
}

/// The inner product of two rows, in eight running sums.
@inline(__always)
public func wideDot(_ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
  let (a, b) = (UnsafeRawPointer(a), UnsafeRawPointer(b))
  var sums = SIMD8<Double>.zero
  for block in 0..<(count / 8) {
    sums +=
      a.loadUnaligned(fromByteOffset: 64 * block, as: SIMD8<Double>.self)
      * b.loadUnaligned(fromByteOffset: 64 * block, as: SIMD8<Double>.self)
  }
  var rest = 0.0
  for slot in (count / 8 * 8)..<count {
    rest +=
      a.loadUnaligned(fromByteOffset: 8 * slot, as: Double.self)
      * b.loadUnaligned(fromByteOffset: 8 * slot, as: Double.self)
  }
  return sums.sum() + rest
}

/// target += factor * source.
@inline(__always)
func addMultiple(
  _ factor: Double, _ source: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>, _ count: Int
) {
  let (from, into) = (UnsafeRawPointer(source), UnsafeMutableRawPointer(target))
  for block in 0..<(count / 8) {
    let sum =
      into.loadUnaligned(fromByteOffset: 64 * block, as: SIMD8<Double>.self)
      + from.loadUnaligned(fromByteOffset: 64 * block, as: SIMD8<Double>.self) * factor
    into.storeBytes(of: sum, toByteOffset: 64 * block, as: SIMD8<Double>.self)
  }
  for slot in (count / 8 * 8)..<count { target[slot] += factor * source[slot] }
}
