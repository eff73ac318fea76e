/// Which tokens stay, as lookups.
struct TokenFates {
  /// A set of token indices as bits.
  struct Membership {
    private var words: [UInt64]

    init(_ tokens: [Int]) {
      words = [UInt64](repeating: 0, count: ((tokens.max() ?? -1) + 64) / 64)
      for token in tokens where token >= 0 { words[token / 64] |= 1 << UInt64(token % 64) }
    }

    func contains(_ token: Int) -> Bool {
      token >= 0 && token / 64 < words.count && words[token / 64] >> UInt64(token % 64) & 1 == 1
    }
  }

  private let kept: Membership
  /// Of a schedule, what each stage but the last kept.
  let partialStages: [Membership]

  init(_ marks: TokenPicture.Marks) {
    switch marks {
    case .kept(let tokens), .inside(let tokens): (kept, partialStages) = (Membership(tokens), [])
    case .stages(let stages):
      kept = Membership(stages.last ?? [])
      partialStages = stages.dropLast().map { Membership($0) }
    case .merged(_, let anchors): (kept, partialStages) = (Membership(anchors), [])
    }
  }

  func isKept(_ token: Int) -> Bool { kept.contains(token) }
}
