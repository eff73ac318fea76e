public import Kernels

extension Tensor {
  /// All elements, row-major, as float32, and of each row of `columns` elements the sum of squares in float64.
  ///
  /// One pass over the bytes: rows are measured while they lie in the first-level cache. A sum is finite exactly
  /// when its row is.
  /// - Precondition: columns >= 1, and the elements are whole rows of that many.
  /// - Complexity: O(n).
  public func measuredFloats(columns: Int) -> (floats: [Float], squares: [Double]) {
    precondition(columns >= 1 && elementCount.isMultiple(of: columns))
    let rows = elementCount / columns
    var squares = [Double](repeating: 0, count: rows)
    guard let format else {
      let floats = floats()
      floats.withUnsafeBufferPointer { source in
        guard let base = source.baseAddress else { return }
        for row in 0..<rows {
          let start = base + row * columns
          squares[row] = KernelSet.active.preciseDot(start, start, columns)
        }
      }
      return (floats, squares)
    }
    let floats = [Float](unsafeUninitializedCapacity: elementCount) { target, count in
      LargeMemory.prepare(target)
      bytes.withUnsafeBytes { source in
        guard let from = source.baseAddress, let into = target.baseAddress else { return }
        squares = format.squares(of: from, rows, columns, elementType.byteWidth) { into + $0 * columns }
      }
      count = elementCount
    }
    return (floats, squares)
  }

  private static let widenedAtOnce = 4096

  /// Adds rows `first`, `first + step`, ... of the tensor, read as rows of `sums.count` elements, to `sums` in
  /// float64, one after the other.
  ///
  /// - Precondition: the tensor holds those `count` rows.
  public func addRows(first: Int, step: Int, count: Int, to sums: inout [Double]) {
    let width = sums.count
    precondition(first >= 0 && step >= 1 && count >= 0)
    guard count > 0, width > 0 else { return }
    precondition((first + (count - 1) * step + 1) * width <= elementCount)
    guard elementType.byteWidth <= 4, elementType.isFloatingPoint, let format else {
      widenRows(first: first, step: step, count: count, to: &sums)
      return
    }
    bytes.withUnsafeBytes { source in
      sums.withUnsafeMutableBufferPointer { target in
        guard let from = source.baseAddress, let into = target.baseAddress else { return }
        format.accumulate(from + first * width * elementType.byteWidth, count, step * width, into, width)
      }
    }
  }

  /// The same for types that are converted one by one. A piece at a time, since all of it would take up to eight times
  /// the bytes that are there; of short rows many, since there may be one for every byte.
  private func widenRows(first: Int, step: Int, count: Int, to sums: inout [Double]) {
    let width = sums.count
    let atOnce = max(Self.widenedAtOnce / (step * width), 1)
    for row in Swift.stride(from: 0, to: count, by: atOnce) {
      let rows = min(atOnce, count - row)
      let start = (first + row * step) * width
      let end = start + ((rows - 1) * step + 1) * width
      for piece in Swift.stride(from: start, to: end, by: Self.widenedAtOnce) {
        let values = elements(piece..<min(piece + Self.widenedAtOnce, end)).doubles()
        guard rows > 1 else {
          for index in values.indices { sums[piece - start + index] += values[index] }
          continue
        }
        for row in 0..<rows {
          for index in 0..<width { sums[index] += values[row * step * width + index] }
        }
      }
    }
  }

  /// The mean of rows `first`, `first + step`, ... of the tensor, read as rows of `width` elements.
  ///
  /// Rows are added in float64, one after the other. Of elements no wider than float32 a mean is finite exactly when all
  /// that went into it are.
  /// - Precondition: the tensor holds those `count` rows.
  public func meanRow(first: Int = 0, step: Int = 1, count: Int, width: Int) -> [Double] {
    var mean = [Double](room: width) { target, count in
      target.initialize(repeating: 0)
      count = width
    }
    addRows(first: first, step: step, count: count, to: &mean)
    guard count > 1 else { return mean }
    let rows = Double(count)
    mean.withUnsafeMutableBufferPointer { mean in
      for index in mean.indices { mean[index] /= rows }
    }
    return mean
  }

  /// Of each row of `columns` elements the sum of squares in float64: finite exactly when the row is.
  ///
  /// - Precondition: columns >= 1, and the elements are whole rows of that many.
  /// - Complexity: O(n).
  public func squares(columns: Int) -> [Double] {
    precondition(columns >= 1 && elementCount.isMultiple(of: columns))
    guard let format else { return measuredFloats(columns: columns).squares }
    return bytes.withUnsafeBytes { source in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 4 * columns) { four in
        guard let from = source.baseAddress, let room = four.baseAddress else { return [] }
        return format.squares(of: from, elementCount / columns, columns, elementType.byteWidth) { _ in room }
      }
    }
  }

  /// The loops over this tensor's bytes; nil where the elements are converted one by one.
  public var format: FormatKernels? {
    #if _endian(little)
      switch elementType {
      case .float32: KernelSet.active.float32
      case .float16: KernelSet.active.float16
      case .bfloat16: KernelSet.active.bfloat16
      default: nil
      }
    #else
      nil
    #endif
  }
}

extension FormatKernels {
  /// The sums of squares of `rows` rows, widened into where `room` says; it is asked for every fourth row.
  fileprivate func squares(
    of source: UnsafeRawPointer, _ rows: Int, _ columns: Int, _ byteWidth: Int,
    room: (_ row: Int) -> UnsafeMutablePointer<Float>
  ) -> [Double] {
    var squares = [Double](repeating: 0, count: rows)
    let stride = columns * byteWidth
    for row in Swift.stride(from: 0, to: rows, by: 4) {
      let into = room(row)
      if row + 4 <= rows {
        let four = measureFour(source + row * stride, into, columns)
        for lane in 0..<4 { squares[row + lane] = four[lane] }
      } else {
        for rest in row..<rows {
          squares[rest] = measure(source + rest * stride, into + (rest - row) * columns, columns)
        }
      }
    }
    return squares
  }
}
