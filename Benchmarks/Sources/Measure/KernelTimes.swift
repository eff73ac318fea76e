import Foundation
import Inputs
import JSON
import Kernels
import Tensors
import TokenPruning

/// The inner loops by themselves.
enum KernelTimes {
  /// All inner products between rows, packing included; the work is that of one triangle.
  static func gram(rows: Int, columns: Int, _ repeats: Int) throws -> String {
    let values = Inputs.features(rows: rows, columns: columns)
    var result = [Float](repeating: 0, count: rows * rows)
    let times = values.withUnsafeBufferPointer { values in
      result.withUnsafeMutableBufferPointer { result in
        seconds(repeats) {
          guard let from = values.baseAddress, let to = result.baseAddress else { return }
          KernelSet.active.gram(from, count: rows, columns: columns, into: to)
        }
      }
    }
    return "{\"seconds\":\(times),\"sum\":\(result.reduce(0) { $0 + Double($1) })}"
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
