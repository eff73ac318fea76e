import Foundation
public import JSON
public import Tensors
public import TokenPruning

/// A small generator with a fixed sequence (SplitMix64), so that every run measures the same numbers.
public struct SeededNumbers: Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Uniform in 0..<1.
  public mutating func unit() -> Float { Float(next() >> 40) * 0x1p-24 }

  /// Nearly Gaussian: the sum of twelve uniform numbers of ten bits, less six.
  public mutating func normal() -> Float {
    let (a, b) = (next(), next())
    var sum: Float = -6
    for place in 0..<6 {
      sum += Float(a >> UInt64(10 * place) & 1023) * 0x1p-10 + Float(b >> UInt64(10 * place) & 1023) * 0x1p-10
    }
    return sum
  }
}

/// Inputs that look like those of the service.
public enum Inputs {
  /// Features [rows, columns] that are alike within patches of 4 x 4 tokens, with noise on top, as those of an image are.
  ///
  /// - Parameter structure: 0 is noise only, the worst case of searches that rely on bounds.
  public static func features(rows: Int, columns: Int, structure: Float = 1, seed: UInt64 = 1) -> [Float] {
    var numbers = SeededNumbers(seed: seed)
    let patch = 16
    let centres = (0..<((rows + patch - 1) / patch * columns)).map { _ in numbers.normal() }
    return (0..<rows * columns).map { index in
      let (row, column) = index.quotientAndRemainder(dividingBy: columns)
      return structure * centres[row / patch * columns + column] + 0.5 * numbers.normal()
    }
  }

  /// Features [rows, columns] as encoders give them: a few low frequencies over a square grid, a strong common mean and
  /// noise.
  public static func smoothFeatures(rows: Int, columns: Int, seed: UInt64 = 1) -> [Float] {
    var numbers = SeededNumbers(seed: seed)
    let side = Int(Double(rows).squareRoot().rounded(.up))
    let waves = (0..<32).map { _ in (0..<columns).map { _ in 0.6 * numbers.normal() } }
    let mean = (0..<columns).map { _ in 1.5 * numbers.normal() }
    return (0..<rows).flatMap { row in
      var values = mean.map { $0 + 0.6 * numbers.normal() }
      for (index, wave) in waves.enumerated() {
        let turns = (index / 8 * (row / side) + index / 2 % 4 * (row % side))
        let height = Float(cos(Double(turns) * 2 * .pi / Double(side) + (index % 2 == 0 ? 0 : 1.5)))
        for column in 0..<columns { values[column] += height * wave[column] }
      }
      return values
    }
  }

  public static func uniform(_ count: Int, seed: UInt64 = 2) -> [Float] {
    var numbers = SeededNumbers(seed: seed)
    return (0..<count).map { _ in numbers.unit() }
  }

  public static func float32(_ values: [Float], _ dimensions: [Int]) -> Tensor {
    do {
      return try Tensor.float32(values, shape: Shape(dimensions))
    } catch {
      preconditionFailure("\(dimensions): \(error)")
    }
  }

  /// Everything that methods read, for `tokens` tokens of `width` numbers.
  public static func pruningInput(tokens: Int, width: Int, isSmooth: Bool = false) -> PruningInput {
    let features =
      isSmooth ? smoothFeatures(rows: tokens, columns: width) : features(rows: tokens, columns: width)
    return PruningInput(
      tokenCount: tokens,
      tensors: [
        "image_features": float32(features, [tokens, width]),
        "text_features": float32(Self.features(rows: 16, columns: width, seed: 3), [16, width]),
        "attention": float32(uniform(16 * tokens), [16, tokens]),
      ], layout: nil)
  }

  /// The parameters of one plain request.
  public static func request(method: String, keeping count: Int) -> JSONObject {
    ["method": .string(method), "keep_tokens": .integer(count)]
  }

  /// `rows` x `columns` numbers as the nested arrays of a JSON request, with nine digits each.
  public static func matrixText(rows: Int, columns: Int) -> [UInt8] {
    let values = features(rows: rows, columns: columns)
    let lines = (0..<rows).map { row in
      "[" + values[row * columns..<(row + 1) * columns].map { "\($0)" }.joined(separator: ",") + "]"
    }
    return Array("{\"image_features\":[\(lines.joined(separator: ","))]}".utf8)
  }

  /// The head of a request that says no more than it must.
  public static let plainRequestHead = Array(
    "POST /prune?keep_tokens=64&method=topk HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1280\r\n\r\n".utf8)

  /// The head of a request as an HTTP library sends it.
  public static let requestHead = Array(
    """
    POST /prune?keep_tokens=64&method=topk HTTP/1.1\r
    Host: 127.0.0.1:8080\r
    User-Agent: python-requests/2.32.3\r
    Accept-Encoding: gzip, deflate\r
    Accept: */*\r
    Connection: keep-alive\r
    Content-Type: application/octet-stream\r
    Content-Length: 1280\r
    X-Request-ID: 4bf92f3577b34da6a3ce929d0e0e4736\r
    \r

    """.utf8)
}
