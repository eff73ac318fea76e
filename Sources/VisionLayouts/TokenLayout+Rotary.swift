extension TokenLayout {
  /// Position ids of multimodal RoPE, time, height and width, of an image or video that starts at 0: [3, N].
  ///
  /// A token's ids are its frame (times the temporal step, cut to a whole number as the models' code does in
  /// float32), its row and its column. nil for families that count in one dimension, and where the ids depend
  /// on the text between images or frames, which a layout does not know.
  /// Source: Qwen2-VL, arXiv 2409.12191, section 2.1; Qwen2.5-VL, arXiv 2502.13923, section 2.1.2.
  /// - Complexity: O(N).
  public var rotaryPositions: [[Int]]? {
    guard hasRotaryPositions, let rotaryGrid else { return nil }
    var rows = [[Int]](repeating: [], count: 3)
    for index in rows.indices { rows[index].reserveCapacity(tokenCount) }
    for (frame, view) in views.enumerated() {
      let time = Int(Float(frame) * Float(rotaryGrid.temporalStep))
      for row in 0..<view.rows {
        for column in 0..<view.columns {
          rows[0].append(time)
          rows[1].append(row)
          rows[2].append(column)
        }
      }
    }
    return rows
  }

  /// Whether ``rotaryPositions`` are known.
  public var hasRotaryPositions: Bool {
    guard let rotaryGrid else { return false }
    return imageCount == 1 && !(rotaryGrid.hasTextBetweenFrames && views.count > 1)
  }
}
