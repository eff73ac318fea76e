public import Parameters
public import PruningNumerics

extension TokenLayout {
  /// Tokens without any place: resampled ones, or of a family that is not known here.
  ///
  /// Member: `tokens`. Nothing that needs geometry can be asked.
  public static func raw(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(than: ["tokens"])
    return TokenLayout(
      type: "raw", tokenCount: try given.requiredInteger("tokens", in: 0...maximumTokenCount), views: [])
  }
}
