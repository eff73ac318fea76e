import JSON
import Parameters
import PruningNumerics
import VisionLayouts

/// Boxes in the text that a vision-language model emitted.
///
/// | written | means |
/// |---|---|
/// | `<\|box_start\|>(x0,y0),(x1,y1)<\|box_end\|>` | `qwen2_vl`, 0...1000 |
/// | `<box>[[x0,y0,x1,y1]]</box>`, `<box>(x0,y0),(x1,y1)</box>` | `internvl` and Qwen-VL, 0...1000 |
/// | `<box>x0 y0 x1 y1</box>` | `minicpm_v`, 0...1000 |
/// | `<\|begin_of_box\|>[[x0,y0,x1,y1]]<\|end_of_box\|>` | `glm4v`, 0...1000 |
/// | `<\|det\|>[[x0,y0,x1,y1]]<\|/det\|>` | `deepseek_vl2`, 0...999 |
/// | `"box_2d": [y0, x0, y1, x1]` | `gemini`, 0...1000 |
/// | `"bbox_2d": [x0, y0, x1, y1]` | `qwen2_5_vl` when `resized_size` is given, else an error |
/// | `<loc0123>` four times | `paligemma`, y first |
/// | `<loc_123>` four times | `florence2` |
/// | `<patch_index_0044><patch_index_0863>` | Kosmos-2: two of 32 x 32 cells |
/// | `"x_min": ..., "y_min": ..., "x_max": ..., "y_max": ...` | Moondream: shares of the image |
/// | `<point x="63.5" y="44.5">`, `<points x1=... y1=... x2=...>` | Molmo: per cent; a point is a small box |
/// | `"x": 0.635, "y": 0.445` | Moondream's point: the same |
/// | `[[097,514,283,996;300,100,500,400]]`, three digits each | `cogvlm`, 0...1000 |
/// | `476_496_698_728` | VideoLLaMA3, 0...1000 |
/// | `[2,1,5,4]` or `(2,1),(5,4)`, whole numbers 0...7 | blocks of the 8 x 8 grid (CROP) |
/// | the same, or `(x0, y0, x1, y1)`, with a decimal point somewhere and nothing above 1.05 | normalised corners |
/// | the same with nothing but 0 and 1, which are both, or with anything else | an error that asks for `box_format` |
///
/// All lists of a text have one unit: a decimal point in one makes shares of all. A `box_format` beside the text overrides all
/// of these but those that say their unit themselves. The last four rows
/// count only when the text has no other box, and the last three in a sentence only behind a word such as "in" or "at":
/// "there are 4 options [1, 2, 3, 4]" names no place. What stands inside `<think>` is a draft and is not read.
enum RegionText {
  /// The most text that is looked at; a model's answer is some hundred bytes.
  static let maximumByteCount = 64 * 1024

  /// The side of the box that a point stands for, as a share of the image: one token of LLaVA's 24 x 24.
  static let pointSide = 1.0 / 24

  struct FoundBox: Equatable {
    enum Syntax: Equatable {
      case list, cogVLM, underscores
      case boxTokens, boxTag, spacedBoxTag, glm, deepSeek, box2D, bbox2D, paligemma, florence2
      /// Numbers that are shares of the image already: Kosmos-2, Moondream and Molmo.
      case shares
    }

    let syntax: Syntax
    let numbers: [Double]
    /// Whether one of the numbers has a decimal point.
    let hasFraction: Bool
    /// Whether it is written as models write boxes amid a sentence: without spaces, and three decimals each (Shikra) or
    /// in two pairs of brackets.
    var isCompact = false
    /// Whether the word in front says that a place follows: "the cup is in [2,1,5,4]".
    var followsPlaceWord = false
  }

  /// All boxes, in the order written.
  ///
  /// - Parameter format: the one that the caller named. Numbers in a sentence that counts in thousandths or pixels must
  ///   then reach beyond 10, since less would be a speck in the corner.
  /// - Throws: at `pointer` when the text is too long, has too many boxes, or none.
  /// - Complexity: O(bytes): an attempt to read a box ends where the next one could begin.
  static func boxes(
    in text: String, as format: BoxFormat? = nil, at pointer: String
  ) throws(PruningError) -> [FoundBox] {
    guard text.utf8.count <= maximumByteCount else {
      throw PruningError(at: pointer, "has \(text.utf8.count) bytes; at most \(maximumByteCount) are read")
    }
    let answer = Prose.withoutThinking(Array(text.utf8))
    var scanner = RegionTextScanner(answer)
    let all = scanner.boxes(limit: RegionSpecification.maximumBoxCount + 1)
    let tagged = all.filter { ![.list, .underscores, .cogVLM].contains($0.syntax) }
    let isProse =
      tagged.isEmpty && format?.isCounting ?? true && Prose.isProse(String(decoding: answer, as: UTF8.self))
    let found =
      tagged.isEmpty
      ? all.filter {
        $0.syntax != .list || !isProse || $0.isCompact || $0.followsPlaceWord
          || $0.numbers.contains { $0 > 10 }
      }
      : tagged
    guard !found.isEmpty else {
      throw PruningError(
        at: pointer,
        "has no box that could be read: '\(text.excerpt)'"
          + (all.isEmpty ? "" : "; numbers in a sentence are not read as a box"))
    }
    guard found.count <= RegionSpecification.maximumBoxCount else {
      throw PruningError(at: pointer, "has more than \(RegionSpecification.maximumBoxCount) boxes")
    }
    return found
  }
}

extension RegionText {
  /// What the numbers of each box mean.
  ///
  /// - Parameters:
  ///   - given: the format that the caller named.
  ///   - isPixels: whether the caller gave the size of the resized image, as only Qwen2.5-VL needs.
  static func formats(
    of boxes: [FoundBox], _ given: BoxFormat?, isPixels: Bool, at pointer: String
  ) throws(PruningError) -> [BoxFormat] {
    let lists = boxes.filter { $0.syntax == .list }
    let unit = if let given { given } else { try unit(of: lists, at: pointer) }
    return try boxes.map { (box) throws(PruningError) -> BoxFormat in
      try box.format(box.syntax == .list ? unit : given, isPixels: isPixels, at: pointer)
    }
  }

  /// What the numbers of all lists of a text are relative to; nil where there is none.
  private static func unit(of lists: [FoundBox], at pointer: String) throws(PruningError) -> BoxFormat? {
    guard let first = lists.first else { return nil }
    let areShares = lists.contains(where: \.hasFraction)
    // JSON writes 1.0 as 1.
    guard areShares || !lists.allSatisfy({ $0.numbers.allSatisfy { $0 == 0 || $0 == 1 } }) else {
      throw PruningError(
        at: pointer,
        "cannot tell whether the box \(Box.text(first.numbers)) is blocks or shares of the image; give box_format "
          + "'blocks' or 'normalized'")
    }
    let limit = 1 + Box.tolerableOvershoot
    let misfit = lists.first {
      !$0.numbers.allSatisfy { areShares ? abs($0) <= limit : (0...7).contains($0) }
    }
    guard let misfit else { return areShares ? .normalized : .blocks }
    throw PruningError(
      at: pointer,
      "cannot tell what the box \(Box.text(misfit.numbers)) is relative to; give box_format, one of \(BoxFormat.names)"
    )
  }
}

extension RegionText.FoundBox {
  /// What the numbers mean.
  ///
  /// - Parameters:
  ///   - given: the format that the caller named, or the unit of lists.
  ///   - isPixels: whether the caller gave the size of the resized image, as only Qwen2.5-VL needs.
  fileprivate func format(_ given: BoxFormat?, isPixels: Bool, at pointer: String) throws(PruningError)
    -> BoxFormat
  {
    guard syntax != .shares else {
      guard given == nil || given == .normalized else {
        throw PruningError(
          at: pointer, "has a box whose notation defines its unit; omit box_format, or use 'normalized'")
      }
      return .normalized
    }
    if let given { return given }
    switch syntax {
    case .boxTokens: return .qwen2VL
    case .paligemma: return .paligemma
    case .florence2: return .florence2
    case .boxTag: return .internvl
    case .spacedBoxTag: return .minicpmV
    case .glm: return .glm4V
    case .deepSeek: return .deepseekVL2
    case .box2D: return .gemini
    // VideoLLaMA3 counts in thousandths, too.
    case .cogVLM, .underscores: return .cogVLM
    case .bbox2D:
      if isPixels { return .qwen25VL }
      throw PruningError(
        at: pointer,
        "bbox_2d is pixels of the resized image for Qwen2.5-VL and thousandths for Qwen3-VL; give box_format "
          + "'qwen2_5_vl' with resized_size, or 'qwen3_vl'")
    case .list, .shares: preconditionFailure("lists share a unit, and shares are one")
    }
  }
}

/// What a model's text says besides boxes.
enum Prose {
  /// The text without what stands inside `<think>`: everything up to the last end of thinking, and what follows a
  /// beginning without an end.
  static func withoutThinking(_ text: [UInt8]) -> [UInt8] {
    var rest = text[...]
    for end in ["</think>", "◁/think▷"] {
      if let last = rest.ranges(of: Array(end.utf8)).last { rest = rest[last.upperBound...] }
    }
    for begin in ["<think>", "◁think▷"] {
      if let first = rest.firstRange(of: Array(begin.utf8)) { rest = rest[..<first.lowerBound] }
    }
    return Array(rest)
  }

  /// Words that may stand beside a list of numbers that is a region.
  private static let harmless: Set<String> = [
    "the", "a", "of", "in", "at", "is", "are", "and", "region", "regions", "contextual", "area", "box",
    "boxes", "bbox",
    "bboxes", "bounding", "block", "blocks", "image", "answer", "coordinates", "json", "python",
  ]

  static let placeWords: Set<String> = [
    "in", "at", "within", "region", "box", "bbox", "block", "blocks", "area", "coordinates", "located",
  ]

  /// Whether the text has a word that does not speak of a region; in JSON quoted words do not count.
  static func isProse(_ text: String) -> Bool {
    let first = text.unicodeScalars.first { !$0.properties.isWhitespace && $0 != "`" }
    let isJSON = first == "{" || first == "[" || text.contains("```json")
    var word = ""
    var isQuoted = false
    for scalar in text.unicodeScalars {
      if scalar == "\"", isJSON { isQuoted.toggle() }
      if scalar.properties.isAlphabetic, !isQuoted {
        word.unicodeScalars.append(scalar)
        // No harmless word is longer, and a word without end must not be collected.
        guard word.utf8.count <= 16 else { return true }
      } else if !word.isEmpty {
        guard harmless.contains(word.lowercased()) else { return true }
        word = ""
      }
    }
    return !word.isEmpty && !harmless.contains(word.lowercased())
  }
}
