public import JSON
import Parameters
public import PruningNumerics

/// A family of models as `layout` names it: how its members become views.
///
/// To add one: a file in this folder with its constructor, and a line in ``TokenLayout/families``.
struct LayoutFamily: Sendable {
  public let type: String
  public let make: @Sendable (ParameterReading) throws(PruningError) -> TokenLayout
}

extension TokenLayout {
  static let families: [LayoutFamily] = [
    LayoutFamily(type: "grid", make: grid),
    LayoutFamily(type: "llava", make: llava),
    LayoutFamily(type: "llava_next", make: llavaNext),
    LayoutFamily(type: "llava_onevision", make: llavaOneVision),
    LayoutFamily(type: "qwen2_vl", make: { (given) throws(PruningError) in try qwen(.qwen2, given) }),
    LayoutFamily(type: "qwen2_5_vl", make: { (given) throws(PruningError) in try qwen(.qwen25, given) }),
    LayoutFamily(type: "qwen3_vl", make: { (given) throws(PruningError) in try qwen(.qwen3, given) }),
    LayoutFamily(type: "internvl", make: internVL),
    LayoutFamily(type: "gemma3", make: gemma3),
    LayoutFamily(type: "idefics3", make: { (given) throws(PruningError) in try idefics(.idefics3, given) }),
    LayoutFamily(type: "smolvlm", make: { (given) throws(PruningError) in try idefics(.smolVLM, given) }),
    LayoutFamily(type: "pixtral", make: pixtral),
    LayoutFamily(type: "minicpm_v", make: miniCPMV),
    LayoutFamily(type: "glm4v", make: { (given) throws(PruningError) in try qwen(.glm4V, given) }),
    LayoutFamily(type: "deepseek_vl2", make: deepSeekVL2),
    LayoutFamily(type: "kimi_vl", make: kimiVL),
    LayoutFamily(type: "molmo", make: { (given) throws(PruningError) in try molmo(.molmo, given) }),
    LayoutFamily(type: "molmo2", make: { (given) throws(PruningError) in try molmo(.molmo2, given) }),
    LayoutFamily(type: "video", make: video),
    LayoutFamily(type: "raw", make: raw),
  ]

  /// The most tokens one layout may have; LLaVA-NeXT has 2,880, an hour of video some 100,000.
  public static let maximumTokenCount = 1 << 20

  /// The layout that a request's `layout` member describes.
  ///
  /// - Parameter tokenCount: how many visual tokens the tensors have, or nil when there are no tensors.
  /// - Throws: at `/layout` or below it; an unknown type names the known ones, a disagreement with
  ///   `tokenCount` names both numbers.
  public init(_ json: JSONValue, tokenCount: Int?) throws(PruningError) {
    guard let object = json.objectValue else {
      throw PruningError(
        at: "/layout",
        "must be an object such as {\"type\": \"grid\", \"rows\": 24, \"columns\": 24}, not "
          + ParameterReading.found(json))
    }
    let given = ParameterReading(object, at: "/layout")
    let type = given.member("type")?.stringValue
    guard let family = Self.families.first(where: { $0.type == type }) else {
      let known = Self.families.map(\.type)
      _ = try given.name("type", among: known)
      throw PruningError(at: "/layout/type", "is missing; known types: \(known.joined(separator: ", "))")
    }
    let layout = try family.make(given)
    if let tokenCount, layout.tokenCount != tokenCount {
      throw PruningError(
        at: "/layout",
        "describes \(layout.tokenCount) tokens (\(layout.dimensionsText)), but the tensors have \(tokenCount)"
          + (tokenCount == layout.tokenCount + 1
            ? ": \(tokenCount) = \(layout.dimensionsText) + 1, so the first looks like [CLS]; leave it out of all tensors"
            : ""))
    }
    self = layout
  }

  /// The square grid that a token count implies, or nil when it is not a square of at least 1.
  public static func inferred(tokenCount: Int) -> TokenLayout? {
    guard tokenCount >= 1, tokenCount <= maximumTokenCount else { return nil }
    let side = Int(Double(tokenCount).squareRoot().rounded())
    guard side * side == tokenCount else { return nil }
    let view = TokenView(firstToken: 0, rows: side, columns: side)
    return TokenLayout(type: "grid", tokenCount: tokenCount, views: [view])
  }

  /// "577 = 24 x 24 + 1", where a number is that of a square grid and one more, as with [CLS]; nil for any other, and for
  /// squares too small to be a grid.
  public static func gridAndOne(tokenCount: Int) -> String? {
    guard tokenCount > 49, let side = inferred(tokenCount: tokenCount - 1)?.views[0].rows else { return nil }
    return "\(tokenCount) = \(side) x \(side) + 1"
  }

  /// The product of the members `rows` and `columns`, checked.
  static func checkedCount(rows: Int, columns: Int) throws(PruningError) -> Int {
    let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard !overflow, count <= maximumTokenCount else {
      throw PruningError(
        at: "/layout/rows", "\(rows) rows x \(columns) columns are more than \(maximumTokenCount) tokens")
    }
    return count
  }

  private var dimensionsText: String {
    let shown = views.prefix(8).map { "\($0.rows) x \($0.columns)" }.joined(separator: " + ")
    return (views.isEmpty ? "without geometry" : shown)
      + (views.count > 8 ? " + \(views.count - 8) more views" : "")
      + (separators.isEmpty ? "" : " + \(separators.count) newlines")
  }
}
