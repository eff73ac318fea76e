import Kernels
import Numerics
import Tensors

/// Token scores from the cosine of the tokens' features and text features.
enum SimilarityScores {
  enum Sign: String, CaseIterable {
    /// Similar is salient.
    case positive
    /// Dissimilar is salient: the raw cosines of some CLIP towers are inverted (CDPruner, TRIM).
    case negative
  }

  /// Cosine of each row of `relevance_features` [N, D], or without them of `image_features`, with `text_features` [D]
  /// or [M, D], mean over M, [N].
  ///
  /// A row of zeros has cosine 0 with everything.
  /// - Parameter temperature: nil for the cosines as they are, else softmax(cosine / temperature) over tokens.
  /// - Complexity: O((N + M) D): the mean of cosines is one product with the mean of the unit text rows.
  static func similarity(
    of input: PruningInput, sign: Sign, temperature: Double?
  ) throws(PruningError) -> [Double] {
    let name = LocalizationSource.comparedFeatures(in: input)
    let image = try LocalizationTensors.finite(name, in: input)
    let text = try LocalizationTensors.finite("text_features", in: input)
    let count = input.tokenCount
    guard image.rank == 2, image.shape[0] == count, image.shape[1] > 0 else {
      throw LocalizationTensors.wrongShape(
        name, expected: "[N, D] with N = \(count) and D >= 1", image.shape)
    }
    let width = image.shape[1]
    guard (1...2).contains(text.rank), text.shape[text.rank - 1] == width, text.elementCount > 0 else {
      throw LocalizationTensors.wrongShape(
        "text_features", expected: "[D] or [M, D] with D = \(width) as in \(name)", text.shape)
    }
    let direction = meanOfUnitRows(text.doubles(), width: width)
    let factor = sign == .positive ? 1.0 : -1.0
    let cosines = cosines(of: image, width, with: direction).map { factor * $0 }
    guard let temperature else { return cosines }
    return RowArithmetic.softmax(cosines.map { $0 / temperature })
  }

  /// The cosine of each row with a direction.
  private static func cosines(of image: Tensor, _ width: Int, with direction: [Double]) -> [Double] {
    guard image.elementType.byteWidth <= 4, image.elementType.isFloatingPoint else {
      return (0..<(image.elementCount / width)).map { token in
        let values = image.elements((token * width)..<((token + 1) * width)).doubles()
        return RowArithmetic.dot(unit(values[...]), direction[...])
      }
    }
    // No square of a float32 number overflows float64 or vanishes in it.
    let (floats, squares) = image.measuredFloats(columns: width)
    return floats.withUnsafeBufferPointer { rows in
      direction.withUnsafeBufferPointer { direction in
        guard let base = rows.baseAddress, let direction = direction.baseAddress else { return [] }
        return squares.indices.map { token in
          guard squares[token] > 0 else { return 0 }
          let product = KernelSet.active.widenedDot(base + token * width, direction, width)
          return product / squares[token].squareRoot()
        }
      }
    }
  }

  private static func meanOfUnitRows(_ values: [Double], width: Int) -> [Double] {
    let rows = values.count / width
    var mean = [Double](repeating: 0, count: width)
    for row in 0..<rows {
      let unitRow = unit(values[(row * width)..<((row + 1) * width)])
      for (index, value) in unitRow.enumerated() { mean[index] += value / Double(rows) }
    }
    return mean
  }

  /// The row divided by its length; by its largest element first, so that no square overflows or vanishes.
  private static func unit(_ row: ArraySlice<Double>) -> ArraySlice<Double> {
    let largest = row.reduce(0) { max($0, abs($1)) }
    guard largest > 0 else { return row }
    let bounded = row.map { $0 / largest }
    let length = RowArithmetic.dot(bounded[...], bounded[...]).squareRoot()
    return bounded.map { $0 / length }[...]
  }
}
