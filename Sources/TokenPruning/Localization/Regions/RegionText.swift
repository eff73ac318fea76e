/// Boxes in the text that a vision-language model emitted.
///
/// | written | means |
/// |---|---|
/// | `[2,1,5,4]` or `(2,1),(5,4)`, whole numbers 0...7 | blocks of the 8 x 8 grid (CROP) |
/// | the same with a decimal point somewhere and nothing above 1.05 | normalised corners |
/// | the same with anything else | an error that asks for `box_format` |
/// | `<\|box_start\|>(x0,y0),(x1,y1)<\|box_end\|>` | `qwen2_vl`, 0...1000 |
/// | `"bbox_2d": [x0, y0, x1, y1]`, in JSON or not | `qwen2_5_vl` when `resized_size` is given, else an error |
/// | `<loc0123>` four times | `paligemma`, y first |
/// | `<loc_123>` four times | `florence2` |
/// | `<box>[[x0,y0,x1,y1]]</box>` | `internvl`, 0...1000 |
///
/// A `box_format` beside the text overrides all of these. Untagged lists count only when the text has no
/// tagged box, so that a remark in brackets does no harm. Text around boxes is ignored.
enum RegionText {
  /// The most text that is looked at; a model's answer is some hundred bytes.
  static let maximumByteCount = 64 * 1024

  struct FoundBox: Equatable {
    enum Syntax: Equatable { case list, boxTokens, bbox2D, paligemma, florence2, internvl }

    let syntax: Syntax
    let numbers: [Double]
    /// Whether one of the numbers has a decimal point.
    let hasFraction: Bool
  }

  /// All boxes, in the order written.
  ///
  /// - Throws: at `pointer` when the text is too long, has too many boxes, or none.
  /// - Complexity: O(bytes): an attempt to read a box ends where the next one could begin.
  static func boxes(in text: String, at pointer: String) throws(PruningError) -> [FoundBox] {
    guard text.utf8.count <= maximumByteCount else {
      throw PruningError(
        at: pointer, "has \(text.utf8.count) bytes; at most \(maximumByteCount) are looked at for a box")
    }
    var scanner = RegionTextScanner(Array(text.utf8))
    let all = scanner.boxes(limit: RegionSpecification.maximumBoxCount + 1)
    let tagged = all.filter { $0.syntax != .list }
    let found = tagged.isEmpty ? all : tagged
    guard !found.isEmpty else {
      throw PruningError(at: pointer, "has no box that could be read: '\(ParameterReading.excerpt(text))'")
    }
    guard found.count <= RegionSpecification.maximumBoxCount else {
      throw PruningError(at: pointer, "has more than \(RegionSpecification.maximumBoxCount) boxes")
    }
    return found
  }
}

extension RegionText.FoundBox {
  /// What the numbers mean when the caller did not say.
  ///
  /// - Parameter isPixels: whether the caller gave the size of the resized image, as only Qwen2.5-VL needs.
  func format(isPixels: Bool, at pointer: String) throws(PruningError) -> BoxFormat {
    switch syntax {
    case .boxTokens: return .qwen2VL
    case .paligemma: return .paligemma
    case .florence2: return .florence2
    case .internvl: return .internvl
    case .bbox2D:
      if isPixels { return .qwen25VL }
      throw PruningError(
        at: pointer,
        "bbox_2d is pixels of the resized image for Qwen2.5-VL and thousandths for Qwen3-VL; give box_format "
          + "'qwen2_5_vl' with resized_size, or 'qwen3_vl'")
    case .list:
      if !hasFraction, numbers.allSatisfy({ (0...7).contains($0) }) { return .blocks }
      let limit = 1 + Box.tolerableOvershoot
      if hasFraction, numbers.allSatisfy({ abs($0) <= limit }) { return .normalized }
      throw PruningError(
        at: pointer,
        "cannot tell what the box \(numbers) is relative to; give box_format, one of \(BoxFormat.names)")
    }
  }
}
