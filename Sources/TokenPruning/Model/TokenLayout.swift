/// Where each visual token lies in the original image.
///
/// A layout is a list of views (the whole image, a tile, a frame). Each view is a row-major grid of tokens
/// that covers a box of the original image; tokens outside every view (newlines, separators) are not spatial.
/// A family of models is one constructor in `Localization/Layouts/`.
public struct TokenLayout: Sendable, Hashable {
  /// The wire name: `grid`, `llava`, ...
  public let type: String
  public let tokenCount: Int
  public let views: [TokenView]
  /// Pixels of the original image, when the caller told; boxes in pixels need it.
  public let imageSize: ImageSize?

  /// - Precondition: every view's tokens lie in 0..<tokenCount.
  public init(type: String, tokenCount: Int, views: [TokenView], imageSize: ImageSize? = nil) {
    precondition(views.allSatisfy { $0.firstToken >= 0 && $0.endToken <= tokenCount })
    self.type = type
    self.tokenCount = tokenCount
    self.views = views
    self.imageSize = imageSize
  }
}

public struct ImageSize: Sendable, Hashable {
  public let width: Int
  public let height: Int

  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }
}

/// One row-major grid of tokens and the part of the original image it shows.
public struct TokenView: Sendable, Hashable {
  public let firstToken: Int
  public let rows: Int
  public let columns: Int
  /// Tokens from the start of one row to the start of the next: `columns`, plus 1 where a newline follows.
  public let rowStride: Int
  /// What the grid covers of the original image; reaches beyond the unit square where the model pads.
  public let box: Box

  public init(firstToken: Int, rows: Int, columns: Int, rowStride: Int? = nil, box: Box = .unit) {
    self.firstToken = firstToken
    self.rows = rows
    self.columns = columns
    self.rowStride = rowStride ?? columns
    self.box = box
  }

  /// One past the last token of the grid.
  public var endToken: Int {
    rows == 0 || columns == 0 ? firstToken : firstToken + (rows - 1) * rowStride + columns
  }

  public func token(row: Int, column: Int) -> Int { firstToken + row * rowStride + column }

  public func cell(row: Int, column: Int) -> Box {
    let width = box.width / Double(columns)
    let height = box.height / Double(rows)
    return Box(
      x0: box.x0 + Double(column) * width, y0: box.y0 + Double(row) * height,
      x1: box.x0 + Double(column + 1) * width, y1: box.y0 + Double(row + 1) * height)
  }
}
