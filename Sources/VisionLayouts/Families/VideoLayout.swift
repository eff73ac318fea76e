public import Parameters
public import PruningNumerics

extension TokenLayout {
  /// Frames one after another, each a row-major grid over the whole picture.
  ///
  /// Members: `frames`, `rows`, `columns` (tokens of a frame), `temporal_patch_size` (1: tokens for each frame;
  /// 2 in Qwen's towers, which take frames in pairs and repeat the last of an odd number), `image_size`.
  public static func video(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(than: ["frames", "rows", "columns", "temporal_patch_size", "image_size"])
    let frames = try given.requiredInteger("frames", in: 1...maximumTokenCount)
    let rows = try given.requiredInteger("rows", in: 1...maximumTokenCount)
    let columns = try given.requiredInteger("columns", in: 1...maximumTokenCount)
    let patch = try given.integer("temporal_patch_size", in: 1...64) ?? 1
    var sequence = ViewSequence(at: given.path("frames"))
    for _ in 0..<(frames + patch - 1) / patch {
      try sequence.append(rows: rows, columns: columns, role: .frame)
    }
    return sequence.layout("video", try given.size("image_size"))
  }
}
