import Localization
import PruningNumerics
import Tensors

extension PruningInput {
  /// Whether cosines between text and features are defined: rows of one width. Text of another width is there for a
  /// learned localizer.
  var hasComparableText: Bool {
    guard let compared = tensors[LocalizationSource.comparedFeatures(in: tensors)],
      let text = tensors["text_features"]
    else { return false }
    return text.shape.dimensions.last == compared.shape.dimensions.last
  }
}

/// How relevant each token is to the text: the mean cosine with the text rows.
enum Relevance {
  enum Sign: Sendable { case negative, positive }

  /// The signed mean cosine of every token with the rows of `text_features` [N].
  ///
  /// A zero row, of image or text, has cosine 0 with everything.
  /// - Throws: when the widths of the two sides differ.
  /// - Complexity: O(N M D).
  static func cosines(of input: PruningInput, sign: Sign) throws(PruningError) -> [Double] {
    if case .meanCosines(let cosines)? = input.found {
      return sign == .positive ? cosines : cosines.map { -$0 }
    }
    return try compared(in: input, sign: sign).cosines
  }

  /// The same, and the rows of `image_features`, which are read once for both.
  static func cosinesAndFeatures(
    of input: PruningInput, sign: Sign
  ) throws(PruningError) -> (cosines: [Double], features: MeasuredRows) {
    let features =
      input.tensors[LocalizationSource.embeddingsName] == nil ? nil : try input.measuredRows().rows
    let (cosines, compared) = try compared(in: input, sign: sign)
    return (cosines, features ?? compared)
  }

  private static func compared(
    in input: PruningInput, sign: Sign
  ) throws(PruningError) -> (cosines: [Double], rows: MeasuredRows) {
    let name = LocalizationSource.comparedFeatures(in: input.tensors)
    let width = try input.featureTensor(named: name).shape[1]
    let text = try input.textFeatures()
    guard text.columns == width else {
      throw PruningError(
        at: "text_features",
        "has \(text.columns) columns, but \(name) has \(width); "
          + "the cosine needs equal widths (\(LocalizationSource.embeddingsName) [N, E] may carry the tokens in the text's space)"
      )
    }
    let (rows, products) = try input.measuredRows(named: name, comparedWith: meanDirection(of: text))
    let factor = (sign == .negative ? -1 : 1) / Double(text.rows)
    let norms = rows.norms
    return (norms.indices.map { norms[$0] > 0 ? products[$0] * factor / norms[$0] : 0 }, rows)
  }

  /// The sum of the rows, each divided by its norm: the mean of cosines is the product with the mean of these.
  private static func meanDirection(of text: Matrix) -> [Double] {
    var mean = [Double](repeating: 0, count: text.columns)
    let norms = text.norms()
    mean.withUnsafeMutableBytes { mean in
      text.values.withUnsafeBytes { values in
        for row in 0..<text.rows where norms[row] > 0 {
          let start = 4 * row * text.columns
          var column = 0
          while column + 8 <= text.columns {
            let eight = values.loadUnaligned(fromByteOffset: start + 4 * column, as: SIMD8<Float>.self)
            let sum = mean.loadUnaligned(fromByteOffset: 8 * column, as: SIMD8<Double>.self)
            mean.storeBytes(
              of: sum + SIMD8<Double>(eight) / norms[row], toByteOffset: 8 * column, as: SIMD8<Double>.self)
            column += 8
          }
          while column < text.columns {
            let value = values.loadUnaligned(fromByteOffset: start + 4 * column, as: Float.self)
            let sum = mean.loadUnaligned(fromByteOffset: 8 * column, as: Double.self)
            mean.storeBytes(of: sum + Double(value) / norms[row], toByteOffset: 8 * column, as: Double.self)
            column += 1
          }
        }
      }
    }
    return mean
  }

  /// Cosines that span less than this are equal: the rest is rounding.
  static let smallestSpan = 1e-12

  /// (q - min + 1e-6) / (max - min), as CDPruner scales; all 1 where all are equal.
  static func scaled(_ relevance: [Double]) -> [Double] {
    guard let lowest = relevance.min(), let highest = relevance.max(), highest - lowest >= smallestSpan else {
      return relevance.map { _ in 1 }
    }
    return relevance.map { ($0 - lowest + 1e-6) / (highest - lowest) }
  }
}
