public import JSON
public import LearnedNetworks
import Parameters
public import PruningNumerics

/// How far to compress in `resampler` mode: learned rows beside anchors that pass through unchanged.
public struct ResampleRequest: Sendable, Equatable {
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
