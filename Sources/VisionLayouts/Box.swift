/// A rectangle in the original image, normalised: (0, 0) is the top-left corner, (1, 1) the bottom-right.
///
/// A *region* lies inside the unit square; the area a *view* covers may reach beyond it (padding).
public struct Box: Sendable, Hashable {
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

  public static let unit = Box(x0: 0, y0: 0, x1: 1, y1: 1)

  public var width: Double { x1 - x0 }
  public var height: Double { y1 - y0 }
  public var area: Double { max(width, 0) * max(height, 0) }
}
