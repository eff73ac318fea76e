/// Which of a client's texts may become a `String`.
///
/// Swift compares and hashes strings by canonical equivalence, and puts every run of combining marks in order first, in
/// time quadratic in its length. Unicode Standard Annex 15, section 13 (Stream-Safe Text Format), says how long runs are
/// in any text: what keeps to that is compared in time linear in its length, wherever that happens later.
public enum StreamSafeText {
  /// Of combining marks in a row; annex 15 found no more than six in use.
  public static let longestRun = 30

  /// - Complexity: O(n).
  public static func accepts(_ text: String) -> Bool {
    var run = 0
    for scalar in text.unicodeScalars {
      run = isMark(scalar) ? run + 1 : 0
      guard run <= longestRun else { return false }
    }
    return true
  }

  /// Whether the scalar's decomposition begins with a non-starter.
  private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    guard scalar.value >= 0x300 else { return false }
    switch scalar.value {
    // Starters by their own class that decompose into marks.
    case 0xf73, 0xf75, 0xf81: return true
    default: return scalar.properties.canonicalCombiningClass != .notReordered
    }
  }
}
