import Testing

@testable import Localization
@testable import VisionLayouts

/// A peak at a cell, 6 / (1 + squared distance), on a slope that keeps windows of even width from tying.
private func peak(_ rows: Int, _ columns: Int, row: Int, column: Int) -> [Double] {
  (0..<(rows * columns)).map { index in
    let dy = Double(index / columns - row)
    let dx = Double(index % columns - column)
    let slope = 1 + 0.001 * Double(2 * (index % columns) + index / columns)
    return slope + 6 / (1 + dy * dy + dx * dx)
  }
}

struct CropCase: Sendable {
  let rows: Int
  let columns: Int
  let row: Int
  let column: Int
  let image: ImageSize
  let base: Double
  let box: Box
  let sharpness: Double
}

@Suite("ViCrop")
struct ViCropTests {
  // Boxes and sharpness from an independent implementation in another language, which itself agrees with the
  // published code on maps of these sizes.
  @Test(
    "crop boxes of single peaks",
    arguments: [
      CropCase(
        rows: 24, columns: 24, row: 17, column: 8, image: ImageSize(width: 1024, height: 768), base: 336,
        box: Box(x0: 194, y0: 408, x1: 530, y1: 744), sharpness: 0.012600463713537482),
      CropCase(
        rows: 18, columns: 30, row: 10, column: 21, image: ImageSize(width: 840, height: 504), base: 224,
        box: Box(x0: 504, y0: 196, x1: 728, y1: 420), sharpness: 0.014449001291106933),
      CropCase(
        rows: 24, columns: 24, row: 3, column: 10, image: ImageSize(width: 1200, height: 300), base: 336,
        box: Box(x0: 382, y0: 0, x1: 718, y1: 300), sharpness: 0.012483694113233036),
      CropCase(
        rows: 8, columns: 8, row: 2, column: 5, image: ImageSize(width: 1024, height: 1024), base: 336,
        box: Box(x0: 600, y0: 216, x1: 936, y1: 552), sharpness: 0.85),
      CropCase(
        rows: 24, columns: 24, row: 20, column: 23, image: ImageSize(width: 2000, height: 2000), base: 336,
        box: Box(x0: 1664, y0: 1582, x1: 2000, y1: 1918), sharpness: 0.3454649368519336),
      // Windows of ratio 1 are smaller than one cell of 375 pixels and are skipped.
      CropCase(
        rows: 24, columns: 24, row: 10, column: 2, image: ImageSize(width: 9000, height: 9000), base: 336,
        box: Box(x0: 736, y0: 3736, x1: 1138, y1: 4138), sharpness: 3),
    ])
  func cropBoxes(_ expected: CropCase) throws {
    let map = peak(expected.rows, expected.columns, row: expected.row, column: expected.column)
    let crop = try #require(
      ViCrop.crop(
        map, rows: expected.rows, columns: expected.columns, image: expected.image, base: expected.base))
    #expect(crop.box == expected.box)
    #expect(abs((crop.sharpness ?? 0) - expected.sharpness) < 1e-12)
  }

  @Test("on a constant map the first window wins")
  func constantCrop() {
    for value in [1, 0.1] {
      let crop = ViCrop.crop(
        [Double](repeating: value, count: 576), rows: 24, columns: 24,
        image: ImageSize(width: 1344, height: 1344),
        base: 336)
      #expect(crop?.box == Box(x0: 0, y0: 0, x1: 336, y1: 336))
      #expect(abs(crop?.sharpness ?? 1) < 1e-12)
    }
  }

  @Test("an image no larger than the crop is whole, one with cells larger than every window has no crop")
  func extremeCrops() {
    let map = peak(24, 24, row: 5, column: 5)
    let small = ViCrop.crop(map, rows: 24, columns: 24, image: ImageSize(width: 320, height: 240), base: 336)
    #expect(small == ViCrop.Crop(box: Box(x0: 0, y0: 0, x1: 320, y1: 240), sharpness: nil))
    let huge = ImageSize(width: 1_000_000, height: 1_000_000)
    #expect(ViCrop.crop(map, rows: 24, columns: 24, image: huge, base: 336) == nil)
    let one = ViCrop.crop([1], rows: 1, columns: 1, image: ImageSize(width: 400, height: 400), base: 336)
    #expect(one?.box == nil)
  }
}
