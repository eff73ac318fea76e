/// What is drawn of one answer: where its tokens lie, and what became of them.
///
/// Token indices count from 0 in the order of the model; those outside every grid (separators) are not drawn.
public struct TokenPicture: Sendable {
  /// A row-major grid of tokens that covers a part of its image.
  public struct Grid: Sendable {
    public var firstToken: Int
    public var rows: Int
    public var columns: Int
    /// Tokens from the start of one row to the start of the next.
    public var rowStride: Int
    /// What the grid covers of its image, whose corners are (0, 0) and (1, 1); it may reach beyond.
    public var area: Rectangle
    /// Which image, from 0.
    public var image: Int
    /// What the grid is to its image, in a word: `image`, `base`, `tile`, `frame`.
    public var role: String

    public init(
      firstToken: Int = 0, rows: Int, columns: Int, rowStride: Int? = nil, area: Rectangle = .unit,
      image: Int = 0,
      role: String = "image"
    ) {
      self.firstToken = firstToken
      self.rows = rows
      self.columns = columns
      self.rowStride = rowStride ?? columns
      self.area = area
      self.image = image
      self.role = role
    }
  }

  /// A rectangle in units of the image.
  public struct Rectangle: Sendable, Equatable {
    public var x0: Double
    public var y0: Double
    public var x1: Double
    public var y1: Double

    public init(x0: Double, y0: Double, x1: Double, y1: Double) {
      self.x0 = x0
      self.y0 = y0
      self.x1 = x1
      self.y1 = y1
    }

    public static let unit = Rectangle(x0: 0, y0: 0, x1: 1, y1: 1)

    var width: Double { x1 - x0 }
    var height: Double { y1 - y0 }

    func union(_ other: Rectangle) -> Rectangle {
      Rectangle(x0: min(x0, other.x0), y0: min(y0, other.y0), x1: max(x1, other.x1), y1: max(y1, other.y1))
    }
  }

  public struct Region: Sendable {
    public var image: Int
    public var area: Rectangle

    public init(image: Int = 0, area: Rectangle) {
      self.image = image
      self.area = area
    }
  }

  /// What became of the tokens.
  public enum Marks: Sendable {
    /// These stay; all others are pruned.
    case kept([Int])
    /// A schedule: what each stage kept, the last one's tokens staying to the end.
    case stages([[Int]])
    /// Row r of the result stands for the tokens whose entry is r, -1 for tokens that none stands for; `anchors` are
    /// the tokens that rows were made around.
    case merged(rows: [Int], anchors: [Int])
    /// These lie in the region; nothing is pruned.
    case inside([Int])
  }

  public var grids: [Grid]
  /// Width over height of each image, where known; otherwise the grids' cells are squares.
  public var aspectRatios: [Double]
  public var marks: Marks
  public var regions: [Region]
  /// For each image the scores of square blocks that divide it, row-major; as many as a square number.
  public var maps: [[Double]]

  public init(
    grids: [Grid], aspectRatios: [Double] = [], marks: Marks, regions: [Region] = [], maps: [[Double]] = []
  ) {
    self.grids = grids
    self.aspectRatios = aspectRatios
    self.marks = marks
    self.regions = regions
    self.maps = maps
  }
}

/// A picture with its words.
public struct Figure: Sendable {
  /// One line above the picture.
  public var caption: String
  /// Lines below it.
  public var notes: [String]
  public var picture: TokenPicture

  public init(caption: String, notes: [String] = [], picture: TokenPicture) {
    self.caption = caption
    self.notes = notes
    self.picture = picture
  }
}
