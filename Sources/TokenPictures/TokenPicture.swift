public import VisionLayouts

/// What is drawn of one answer: where its tokens lie, and what became of them.
///
/// Token indices count from 0 in the order of the model; those outside every grid (separators) are not drawn.
public struct TokenPicture: Sendable {
  public struct Region: Sendable {
    public var image: Int
    public var area: Box

    public init(image: Int = 0, area: Box) {
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

  public var grids: [TokenView]
  /// Width over height of each image, where known; otherwise the grids' cells are squares.
  public var aspectRatios: [Double]
  public var marks: Marks
  public var regions: [Region]
  /// For each image the scores of square blocks that divide it, row-major; as many as a square number.
  public var maps: [[Double]]

  public init(
    grids: [TokenView], aspectRatios: [Double] = [], marks: Marks, regions: [Region] = [],
    maps: [[Double]] = []
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
