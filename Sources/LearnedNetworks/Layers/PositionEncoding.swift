import PruningNumerics
import VisionLayouts

/// Where a token lies in the original image, as numbers a network can read.
///
/// For width d and the point (x, y) in 0...1, with n = d / 4 angular frequencies w_j = pi 64^(j / (n - 1)), which
/// is pi alone for n = 1:
///
///     [sin(w_j x) for all j, cos(w_j x), sin(w_j y), cos(w_j y)]
///
/// The longest wave is two images, the shortest a 32nd of one, so neighbours on a grid of 64 still differ.
///
/// *Deviations*: the usual encodings (arXiv 1706.03762, section 3.5; DETR, arXiv 2005.12872) count cells of one
/// grid; this one measures the image, so that a model takes any layout, several views and any resolution.
struct PositionEncoding: Sendable, Equatable {
  let width: Int
  private let frequencies: [Double]

  /// - Precondition: `width` is a multiple of 4, and not 0.
  init(width: Int) {
    precondition(width > 0 && width % 4 == 0)
    self.width = width
    let count = width / 4
    let step = naturalLogarithm(64) / Double(max(count - 1, 1))
    frequencies = (0..<count).map { Double.pi * exponential(step * Double($0)) }
  }

  /// The half of the encoding that one coordinate makes, [width / 2].
  private func waves(of coordinate: Double) -> [Double] {
    let points = frequencies.map { cosineAndSine($0 * coordinate) }
    return points.map(\.sine) + points.map(\.cosine)
  }

  /// One row per token; a row of zeros for a token whose cell shows nothing of the image, or that has no cell.
  ///
  /// - Complexity: O(tokens x width), and sines for every distinct coordinate only: a grid has few.
  func rows(for tokens: [Int], in layout: TokenLayout) -> FloatRows {
    let slots = layout.visibleCentres()
    var known: [Double: [Float]] = [:]
    var values: [Float] = []
    values.reserveCapacity(tokens.count * width)
    for token in tokens {
      guard let slot = slots[token] else {
        values.append(contentsOf: repeatElement(0, count: width))
        continue
      }
      for coordinate in [slot.x, slot.y] {
        if let waves = known[coordinate] {
          values.append(contentsOf: waves)
        } else {
          let waves = waves(of: coordinate).map { Float($0) }
          known[coordinate] = waves
          values.append(contentsOf: waves)
        }
      }
    }
    return FloatRows(rows: tokens.count, columns: width, values: values)
  }
}

extension TokenLayout {
  /// The centre of what each token's cell shows of the image, [tokenCount]; nil where that is nothing.
  ///
  /// - Complexity: O(tokenCount + cells of all views).
  func visibleCentres() -> [(x: Double, y: Double)?] {
    // A cell of padding that ends where the image begins may reach into it by a rounding error.
    let tolerance = 1e-9
    var centres = [(x: Double, y: Double)?](repeating: nil, count: tokenCount)
    for view in views where view.rows > 0 && view.columns > 0 {
      for row in 0..<view.rows {
        for column in 0..<view.columns {
          let cell = view.cell(row: row, column: column)
          guard let seen = cell.clippedToImage, seen.width > tolerance * cell.width,
            seen.height > tolerance * cell.height
          else { continue }
          centres[view.token(row: row, column: column)] = ((seen.x0 + seen.x1) / 2, (seen.y0 + seen.y1) / 2)
        }
      }
    }
    return centres
  }
}
