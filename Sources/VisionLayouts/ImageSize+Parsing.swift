import JSON
public import Parameters
public import PruningNumerics

extension ParameterReading {
  /// `[width, height]` in pixels, each 1...1,000,000.
  public func size(_ name: String) throws(PruningError) -> ImageSize? {
    guard let value = member(name) else { return nil }
    let limit = 1_000_000
    guard let sides = value.arrayValue?.map(\.integerValue), sides.count == 2,
      let width = sides[0], let height = sides[1], (1...limit).contains(width), (1...limit).contains(height)
    else {
      throw PruningError(
        at: path(name), "must be [width, height] in pixels, two whole numbers in 1...\(limit)")
    }
    return ImageSize(width: width, height: height)
  }
}
