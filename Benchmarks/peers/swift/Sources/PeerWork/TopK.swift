/// The work of `POST /prune?keep_tokens=K&method=topk` with a `.npy` body of half-precision numbers.
public enum TopK {
  /// The answer to one request; nil for a body that is not such a file.
  ///
  /// - Parameter file: version 1.0 of the format, `<f2`, [N] or [heads, N], in C order.
  public static func answer(to file: UnsafeRawBufferPointer, keeping count: Int) -> String? {
    guard file.count > 10, file[0] == 0x93 else { return nil }
    let start = 10 + Int(file[8]) + Int(file[9]) << 8
    guard start < file.count, let columns = lastDimension(file[10..<start]), columns >= count else {
      return nil
    }
    let bytes = UnsafeRawBufferPointer(rebasing: file[start...])
    guard columns > 0, bytes.count % (2 * columns) == 0, !bytes.isEmpty else { return nil }
    let kept = highest(count, of: columnSums(bytes, columns: columns))
    return "{\"kept_indices\":[\(kept.map(String.init).joined(separator: ","))]}"
  }

  /// The last number within the parentheses of `'shape': (16, 576)`.
  private static func lastDimension(_ header: Slice<UnsafeRawBufferPointer>) -> Int? {
    guard let open = header.firstIndex(of: UInt8(ascii: "(")),
      let close = header[open...].firstIndex(of: UInt8(ascii: ")"))
    else { return nil }
    let shape = String(decoding: header[(open + 1)..<close], as: UTF8.self)
    let last = shape.split(whereSeparator: { $0 == "," || $0 == " " }).last
    return last.flatMap { Int($0) }
  }

  /// Sums over rows: their order is that of the means.
  private static func columnSums(_ bytes: UnsafeRawBufferPointer, columns: Int) -> [Float] {
    let rows = bytes.count / (2 * columns)
    return [Float](unsafeUninitializedCapacity: columns) { sums, initialized in
      sums.initialize(repeating: 0)
      for row in 0..<rows { add(bytes, from: row * columns * 2, to: sums) }
      initialized = columns
    }
  }

  private static func add(
    _ bytes: UnsafeRawBufferPointer, from offset: Int, to sums: UnsafeMutableBufferPointer<Float>
  ) {
    let columns = sums.count
    let target = UnsafeMutableRawPointer(sums.baseAddress!)
    var column = 0
    while column + 16 <= columns {
      let halves = bytes.loadUnaligned(fromByteOffset: offset + 2 * column, as: SIMD16<Float16>.self)
      let sum = target.loadUnaligned(fromByteOffset: 4 * column, as: SIMD16<Float>.self)
      target.storeBytes(of: sum + SIMD16<Float>(halves), toByteOffset: 4 * column, as: SIMD16<Float>.self)
      column += 16
    }
    while column < columns {
      sums[column] += Float(bytes.loadUnaligned(fromByteOffset: offset + 2 * column, as: Float16.self))
      column += 1
    }
  }

  /// The indices of the `count` highest, ascending; of equal ones the lower index.
  private static func highest(_ count: Int, of scores: [Float]) -> [Int] {
    guard count > 0 else { return [] }
    let threshold = scores.sorted(by: >)[count - 1]
    var room = count - scores.count { $0 > threshold }
    var kept: [Int] = []
    kept.reserveCapacity(count)
    for (index, score) in scores.enumerated() {
      if score > threshold {
        kept.append(index)
      } else if score == threshold, room > 0 {
        kept.append(index)
        room -= 1
      }
    }
    return kept
  }
}
