/// Where each visual token lies in the original images.
///
/// A layout is a list of views (the whole image, a tile, a frame). Each view is a row-major grid of tokens
/// that covers a box of its image. A token outside every view has no place: a *separator*, such as the newline
/// embedding LLaVA-NeXT puts at the end of each row, or any token of the layout `raw`.
/// A family of models is one constructor in `Families/`.
public struct TokenLayout: Sendable, Hashable {
  /// The wire name: `grid`, `llava`, ...
  public let type: String
  public let tokenCount: Int
  /// In the order of their first tokens.
  public let views: [TokenView]
  /// Tokens that the model puts between those of the image, ascending; they show nothing.
  public let separators: [Int]
  /// Pixels of each original image, when the caller told; boxes in pixels need them.
  public let imageSizes: [ImageSize]
  /// How the family counts positions in three dimensions, nil for those that count in one.
  public let rotaryGrid: RotaryGrid?

  /// The most views one layout may have: an hour of video at a frame a second.
  public static let maximumViewCount = 4096

  /// - Precondition: every view's tokens lie in 0..<tokenCount, and views are in the order of first tokens.
  public init(
    type: String, tokenCount: Int, views: [TokenView], separators: [Int] = [], imageSizes: [ImageSize] = [],
    rotaryGrid: RotaryGrid? = nil
  ) {
    precondition(views.allSatisfy { $0.firstToken >= 0 && $0.endToken <= tokenCount })
    precondition(zip(views, views.dropFirst()).allSatisfy { $0.firstToken <= $1.firstToken })
    self.type = type
    self.tokenCount = tokenCount
    self.views = views
    self.separators = separators
    self.imageSizes = imageSizes
    self.rotaryGrid = rotaryGrid
  }

  /// One image.
  public init(type: String, tokenCount: Int, views: [TokenView], imageSize: ImageSize?) {
    self.init(type: type, tokenCount: tokenCount, views: views, imageSizes: imageSize.map { [$0] } ?? [])
  }

  /// How many images the tokens belong to; a video is one, and `raw` is one that nothing is known of.
  public var imageCount: Int { (views.last?.image ?? 0) + 1 }

  /// The size of the one image there is.
  public var imageSize: ImageSize? { imageSizes.count == 1 ? imageSizes[0] : nil }
}

public struct ImageSize: Sendable, Hashable {
  public let width: Int
  public let height: Int

  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }
}

/// One row-major grid of tokens and the part of its image it shows.
public struct TokenView: Sendable, Hashable {
  /// What a view is to its image.
  public enum Role: String, Sendable, Hashable {
    /// The only view.
    case image
    /// The whole image, before (`base`) or after (`thumbnail`) its tiles.
    case base, thumbnail
    case tile
    /// A part chosen by the processor, beside the whole (pan and scan).
    case crop
    case frame
  }

  public let firstToken: Int
  public let rows: Int
  public let columns: Int
  /// Tokens from the start of one row to the start of the next: `columns` in a grid of its own, more in a tile
  /// that is part of a larger raster.
  public let rowStride: Int
  /// What the grid covers of the original image; reaches beyond the unit square where the model pads.
  public let box: Box
  /// Which image of the layout, from 0.
  public let image: Int
  public let role: Role

  public init(
    firstToken: Int, rows: Int, columns: Int, rowStride: Int? = nil, box: Box = .unit, image: Int = 0,
    role: Role = .image
  ) {
    self.firstToken = firstToken
    self.rows = rows
    self.columns = columns
    self.rowStride = rowStride ?? columns
    self.box = box
    self.image = image
    self.role = role
  }

  public var tokenCount: Int { rows * columns }

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

/// The step of the temporal position from frame to frame, for models with multimodal rotary positions.
public struct RotaryGrid: Sendable, Hashable {
  /// Position ids from one frame to the next: 1, or in Qwen2.5-VL tokens per second x seconds per frame.
  public let temporalStep: Double
  /// Whether text stands between the frames, so that ids depend on its length.
  public let hasTextBetweenFrames: Bool
}
