public import JSON
public import LearnedNetworks
public import Numerics
import Parameters
public import VisionLayouts

/// How far to compress in `resampler` mode: learned rows beside anchors that pass through unchanged.
public struct ResampleRequest: Sendable, Hashable {
  /// The share of the rows that are anchors when the request names none.
  public static let defaultAnchorShare = 0.25

  /// Budget, parts, and how anchors are chosen: the same as when merging.
  public var rows: CompressRequest
  /// A loaded resampler's name; nil for the only one there is.
  public var model: String?
  /// Of each part's rows, 0...1.
  public var anchorShare: Double

  public init(_ rows: CompressRequest, model: String? = nil, anchorShare: Double = defaultAnchorShare) {
    self.rows = rows
    self.model = model
    self.anchorShare = anchorShare
  }

  /// Reads what ``CompressRequest`` reads, `model` and `anchor_share`.
  ///
  /// - Throws: at the member that is wrong; at `/method` for another method, which would merge.
  public init(_ parameters: JSONObject, regionTokens: [Int]? = nil) throws(PruningError) {
    let given = ParameterReading(parameters)
    guard try given.string("method") ?? CompressRequest.defaultMethod == CompressRequest.defaultMethod else {
      throw PruningError(at: "/method", "only applies to mode 'merge', not 'resampler'")
    }
    self.init(
      try CompressRequest(parameters, regionTokens: regionTokens), model: try given.string("model"),
      anchorShare: try given.number("anchor_share", in: 0...1) ?? Self.defaultAnchorShare)
  }

  /// Rejects a model that is not loaded, before anything is computed.
  public func validate(_ models: ModelSet) throws(PruningError) {
    _ = try models.resampler(named: model, at: "/model")
  }

  /// The members that mean nothing where tokens are merged.
  public static let ownNames = ["model", "anchor_share"]
}

/// Rows that a resampler made, behind the anchors it left alone.
public struct ResampleResult: Sendable, Equatable {
  public let model: String
  public let tokenCount: Int
  /// [K, D]: the anchors' own features, then the region's learned rows, then the background's.
  public let features: Matrix
  /// The anchors, ascending: token `keptIndices[r]` is row r.
  public let keptIndices: [Int]
  /// The row of each token [N]: an anchor's own; of any other the learned row of its part that attends to it most.
  public let assignments: [Int]
  /// How many tokens are assigned to each row [K]; 0 for a learned row that is no token's strongest.
  public let sizes: [Int]
  /// Where each row's anchor lies [K]; nil for learned rows.
  public let rowPositions: [TokenPosition?]
  /// Learned rows of the region; without a region, of the whole image.
  public let regionLearnedRows: Int
  public let backgroundLearnedRows: Int
  /// How many rows, anchors included, stand for the region; nil when there is none.
  public let regionRowCount: Int?
  /// How many rows each image of a layout with several has; nil where there is one image.
  public private(set) var imageRows: [Int]?
  /// Fallbacks, said out loud.
  public let notes: [String]

  public var budget: BudgetEcho { BudgetEcho(kept: features.rows, total: tokenCount) }
}

extension ResampleResult: CompressedRows {
  private init(
    _ rows: RowSet, model: String, learned: (region: Int, background: Int), regionRows: Int?,
    rowPositions: [TokenPosition?], notes: [String]
  ) {
    self.model = model
    tokenCount = rows.tokenCount
    features = rows.features
    keptIndices = rows.keptIndices
    assignments = rows.assignments
    sizes = rows.sizes
    self.rowPositions = rowPositions
    regionLearnedRows = learned.region
    backgroundLearnedRows = learned.background
    regionRowCount = regionRows
    self.notes = notes
  }

  func replacing(_ rows: RowSet, rowPositions: [TokenPosition?], notes: [String]) -> ResampleResult {
    ResampleResult(
      rows, model: model, learned: (regionLearnedRows, backgroundLearnedRows), regionRows: regionRowCount,
      rowPositions: rowPositions, notes: notes)
  }

  static func joining(
    _ results: [ResampleResult], _ rows: RowSet, rowPositions: [TokenPosition?], notes: [String]
  ) -> ResampleResult {
    let regionRows = results.compactMap(\.regionRowCount)
    var joined = ResampleResult(
      rows, model: results[0].model,
      learned: (
        results.reduce(0) { $0 + $1.regionLearnedRows }, results.reduce(0) { $0 + $1.backgroundLearnedRows }
      ), regionRows: regionRows.isEmpty ? nil : regionRows.reduce(0, +), rowPositions: rowPositions,
      notes: notes)
    joined.imageRows = results.map(\.features.rows)
    return joined
  }
}
