import JSON
import Parameters
import PruningNumerics
import Tensors
import TokenPruning
import VisionLayouts

/// `bookkeeping`: true, or {`text_tokens`, `timestamps`}: what the answer says of the pruned sequence.
struct Bookkeeping: Sendable {
  private let textTokens: [Int]?
  private let times: [Double]?
  private let renumbers: Bool
  /// How many numbers an answer has of it at most, objects and lists counted as those that they take the room of.
  let numberCount: Int
  /// Rows of `pixel_values` for each token; nil without that tensor.
  private let patchesPerToken: Int?

  /// - Parameter input: nil where there are no tensors.
  /// - Returns: nil where it is not asked for.
  /// - Throws: where a member is wrong, or does not fit the layout.
  init?(
    _ parameters: JSONObject, _ layout: TokenLayout?, _ input: PruningInput? = nil
  ) throws(PruningError) {
    renumbers = parameters["renumber"]?.boolValue ?? false
    switch parameters["bookkeeping"] {
    case nil, .bool(false): return nil
    case .bool(true):
      textTokens = nil
      times = nil
    case .object(let object):
      try ParameterReading(object, at: "/bookkeeping")
        .refuseUnknown(besides: ["text_tokens", "timestamps"], of: "bookkeeping")
      textTokens = try Self.list(object, "text_tokens", "whole numbers in 0...\(Self.maximumText)") {
        $0.integerValue.flatMap { (0...Self.maximumText).contains($0) ? $0 : nil }
      }
      times = try Self.list(object, "timestamps", "seconds") {
        $0.doubleValue.flatMap { $0.isFinite ? $0 : nil }
      }
    case let other?:
      throw PruningError(at: "/bookkeeping", "must be true, false or an object, not \(other.kindWithArticle)")
    }
    let layout = try Self.needed(layout)
    try SequenceBookkeeping.validate(textTokens: textTokens, times: times, in: layout)
    let text = try Self.length(of: textTokens, beside: 0)
    let ids = textTokens == nil ? 0 : text + layout.tokenCount
    numberCount =
      ids * (layout.rotaryGrid == nil ? 1 : 3) + Self.numbersPerView
      * (layout.views.count + layout.imageCount)
    patchesPerToken = try input.flatMap { (input) throws(PruningError) in try Self.patchesPerToken(input) }
  }

  /// The tensor is over all tokens, or over those that earlier requests left.
  private static func patchesPerToken(_ input: PruningInput) throws(PruningError) -> Int? {
    guard let pixels = input.tensors["pixel_values"], input.tokenCount > 0 else { return nil }
    let rows = pixels.shape[0]
    let counts = [input.tokenCount] + (input.previous.map { [$0.count] } ?? [])
    guard let count = counts.first(where: { $0 > 0 && rows >= $0 && rows % $0 == 0 }) else {
      throw PruningError(
        at: "pixel_values",
        "has \(rows) rows; bookkeeping needs as many for each of the \(input.tokenCount) tokens")
    }
    return rows / count
  }

  /// Counts and sums, a span in a list of its own, and a frame as an object.
  private static let numbersPerView = 20

  private static let maximumText = 1 << 20
  /// The ids of a prompt that an answer may hold.
  private static let maximumIDs = 1 << 21

  private static func list<Element>(
    _ object: JSONObject, _ name: String, _ what: String, _ read: (JSONValue) -> Element?
  ) throws(PruningError) -> [Element]? {
    guard let value = object[name], value != .null else { return nil }
    let elements = value.arrayValue?.compactMap(read)
    guard let elements, elements.count == value.arrayValue?.count else {
      throw PruningError(at: "/bookkeeping/\(name)", "must be a list of \(what)")
    }
    return elements
  }

  private static func needed(_ layout: TokenLayout?) throws(PruningError) -> TokenLayout {
    guard let layout else {
      throw PruningError(at: "/bookkeeping", "needs a layout, which has the images, tiles and frames")
    }
    return layout
  }

  /// The prompt's tokens, where they do not need too many position ids.
  private static func length(of textTokens: [Int]?, beside kept: Int) throws(PruningError) -> Int {
    let (length, overflow) = (textTokens ?? []).reduce((kept, false)) {
      let (sum, overflow) = $0.0.addingReportingOverflow($1)
      return (sum, $0.1 || overflow)
    }
    guard textTokens == nil || !overflow && length <= maximumIDs / 3 else {
      throw PruningError(
        at: "/bookkeeping/text_tokens", "would need more position ids than a response may have")
    }
    return length
  }

  func members(keeping kept: [Int], _ input: PruningInput) throws(PruningError) -> JSONObject {
    _ = try Self.length(of: textTokens, beside: kept.count)
    let found = try SequenceBookkeeping(
      keeping: kept, in: try Self.needed(input.layout), textTokens: textTokens, times: times,
      renumber: renumbers)
    var members: JSONObject = [
      "image_tokens": .list(found.imageTokens), "view_tokens": .list(found.viewTokens),
      "cu_seqlens": .list(found.cumulativeLengths),
      "placeholder_spans": .array(found.placeholderSpans.map { .list($0) }),
    ]
    if let patchesPerToken {
      members["patch_cu_seqlens"] = .list(found.cumulativeLengths.map { $0 * patchesPerToken })
    }
    if let frames = found.frames {
      members["frames"] = .array(
        frames.map {
          ["frame": .integer($0.index), "timestamp": .number($0.time), "tokens": .integer($0.tokens)]
        })
    }
    if let rows = found.positionIDs {
      members["position_ids"] = rows.count == 1 ? .list(rows[0]) : .array(rows.map { .list($0) })
      members["rope_delta"] = found.positionDelta.map { .integer($0) }
    }
    return members
  }
}
