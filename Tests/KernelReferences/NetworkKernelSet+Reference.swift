@testable public import Kernels

extension NetworkKernelSet {
  /// The obvious loops in float64, but for products, whose order and rounding are those of all levels.
  public static let reference = NetworkKernelSet(
    multiply: { a, rows, columns, panels, count, target, stride in
      for i in 0..<rows {
        for j in 0..<count {
          var total: Float = 0
          for start in Swift.stride(from: 0, to: columns, by: 256) {
            var sum: Float = 0
            for k in start..<min(start + 256, columns) {
              sum.addProduct(a[i * columns + k], panels[j * columns + k])
            }
            total = start == 0 ? sum : sum + total
          }
          target[i * stride + j] = total
        }
      }
    },
    normalize: { source, count, epsilon, gain, bias, target in
      let mean = (0..<count).reduce(0.0) { $0 + Double(source[$1]) } / Double(count)
      let squares = (0..<count).reduce(0.0) { $0 + (Double(source[$1]) - mean) * (Double(source[$1]) - mean) }
      let deviation = (squares / Double(count) + epsilon).squareRoot()
      for index in 0..<count {
        target[index] = Float(
          (Double(source[index]) - mean) / deviation * Double(gain[index]) + Double(bias[index]))
      }
    },
    addGELU: { values, bias, count in
      for index in 0..<count {
        let x = Double(values[index]) + Double(bias[index])
        let power = ReferenceKernels.exponential(-1.5957691216057308 * (x + 0.044715 * x * x * x))
        values[index] = Float(power.isInfinite ? 0 * x : x / (1 + power))
      }
    },
    softmax: { values, count, scale in
      let logits = (0..<count).map { Double(values[$0]) * Double(scale) }
      let isFinite = logits.allSatisfy(\.isFinite)
      let largest = logits.max() ?? 0
      let powers = logits.map { isFinite ? ReferenceKernels.exponential($0 - largest) : .nan }
      let sum = powers.reduce(0, +)
      for index in 0..<count { values[index] = Float(powers[index] / sum) }
    })
}

extension ReferenceKernels {
  /// e^x by repeated squaring: the Taylor series of x / 2^k with |x| / 2^k below 1/2, squared k times.
  static func exponential(_ x: Double) -> Double {
    guard x < 710 else { return .infinity }
    guard x > -746 else { return 0 }
    let halvings = max(0, x.exponent + 2)
    let small = x / Double(1 << halvings)
    var term = 1.0
    var sum = 1.0
    for n in 1...24 {
      term *= small / Double(n)
      sum += term
    }
    for _ in 0..<halvings { sum *= sum }
    return sum
  }
}
