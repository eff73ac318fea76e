import Foundation
import Inputs
import JSON
import Kernels
import Tensors
import TokenPruning

/// The inner loops by themselves.
enum KernelTimes {
  /// All inner products between rows; the work is that of the lower triangle, 2 columns operations each.
  static func gram(rows: Int, columns: Int, _ repeats: Int) throws -> String {
    let values = Inputs.features(rows: rows, columns: columns)
    var result = [Float](repeating: 0, count: rows * rows)
    let times = seconds(repeats) { gram(values, rows: rows, columns: columns, into: &result) }
    return "{\"seconds\":\(times),\"sum\":\(result.reduce(0) { $0 + Double($1) })}"
  }

  private static func gram(_ values: [Float], rows: Int, columns: Int, into result: inout [Float]) {
    let dotFour = KernelSet.active.dotFour
    values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return }
      for row in 0..<rows {
        for other in stride(from: 0, through: row, by: 4) {
          let last = rows - 1
          let products = dotFour(
            base + row * columns, base + other * columns, base + min(other + 1, last) * columns,
            base + min(other + 2, last) * columns, base + min(other + 3, last) * columns, columns)
          for lane in 0..<4 where other + lane <= row { result[row * rows + other + lane] = products[lane] }
        }
      }
    }
  }

  /// Half precision to single, `count` numbers that stay in the second-level cache when few.
  static func widen(count: Int, _ repeats: Int) throws -> String {
    let source = [UInt16](repeating: 0x3c00, count: count)
    var target = [Float](repeating: 0, count: count)
    let widen = KernelSet.active.widenFloat16
    let inner = max(1, (1 << 22) / count)
    let times = source.withUnsafeBytes { source in
      target.withUnsafeMutableBytes { target in
        seconds(repeats, each: inner) {
          if let from = source.baseAddress, let to = target.baseAddress { consume(widen(from, to, count)) }
        }
      }
    }
    return "{\"seconds\":\(times),\"sum\":\(target.reduce(0, +))}"
  }

  /// The whole of method `topk`, from a tensor of scores to ascending indices.
  static func topK(count: Int, keep: Int, _ repeats: Int) throws -> String {
    let input = PruningInput(
      tokenCount: count, tensors: ["attention": Inputs.float32(Inputs.uniform(count), [count])], layout: nil)
    let request = try PruneRequest(Inputs.request(method: "topk", keeping: keep))
    var kept: [Int] = []
    let times = try seconds(repeats) {
      for _ in 0..<100 { kept = try prune(input, request).kept }
    }.map { $0 / 100 }
    return "{\"seconds\":\(times),\"kept\":\(kept.prefix(8))}"
  }
}
