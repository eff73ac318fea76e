public import JSON
import Parameters
public import PruningNumerics

/// How many visual tokens to keep: exactly one of a count, a share to keep or a share to prune.
public enum TokenBudget: Sendable, Hashable {
  case keepTokens(Int)
  /// In (0, 1].
  case keepRatio(Double)
  /// In [0, 1).
  case pruneRatio(Double)

  public static let names = ["keep_tokens", "keep_ratio", "prune_ratio"]

  /// Reads the one budget member that is given.
  ///
  /// - Returns: nil when none is there.
  /// - Throws: when there are several, or the value has the wrong type or lies outside its range.
  static func parse(_ given: ParameterReading) throws(PruningError) -> TokenBudget? {
    let present = names.filter { given.member($0) != nil }
    guard let name = present.first, let value = given.member(name) else { return nil }
    guard present.count == 1 else {
      throw PruningError(
        at: given.path(present[1]),
        "\(present.joined(separator: " and ")) are given together; give exactly one of \(nameList)")
    }
    guard let number = value.doubleValue else {
      throw PruningError(at: given.path(name), "must be a number, not \(ParameterReading.found(value))")
    }
    if name == "keep_tokens" {
      guard let count = value.integerValue else {
        throw PruningError(at: given.path(name), "must be a whole number of tokens, not \(number)")
      }
      return try TokenBudget.keepTokens(count).checked(at: given.pointer)
    }
    let budget: TokenBudget = name == "keep_ratio" ? .keepRatio(number) : .pruneRatio(number)
    return try budget.checked(at: given.pointer)
  }

  /// As ``parse(_:)``, and one must be there.
  init(_ given: ParameterReading) throws(PruningError) {
    guard let budget = try Self.parse(given) else {
      throw PruningError(
        at: given.path("keep_tokens"), "no budget is given; give exactly one of \(Self.nameList)")
    }
    self = budget
  }

  /// Itself, when its number lies in its range.
  private func checked(at base: String) throws(PruningError) -> TokenBudget {
    let complaint: String? =
      switch self {
      case .keepTokens(let count): count >= 0 ? nil : "must be 0 or more, not \(count)"
      case .keepRatio(let ratio):
        ratio > 0 && ratio <= 1 ? nil : "must be greater than 0 and at most 1, not \(ratio)"
      case .pruneRatio(let ratio):
        ratio >= 0 && ratio < 1 ? nil : "must be at least 0 and less than 1, not \(ratio)"
      }
    if let complaint { throw PruningError(at: "\(base)/\(name)", complaint) }
    return self
  }

  public var name: String {
    switch self {
    case .keepTokens: "keep_tokens"
    case .keepRatio: "keep_ratio"
    case .pruneRatio: "prune_ratio"
    }
  }

  /// The exact number of tokens to keep of `total`.
  ///
  /// A ratio is rounded half to even, as Python's `round` does. A ratio keeps at least one token (of any):
  /// it asks for a share of the image, and no share above 0 means no image. Only `keep_tokens` 0 keeps none.
  /// - Throws: when a count exceeds `total`, or a value is outside its range.
  public func resolve(total: Int, at base: String = "") throws(PruningError) -> Int {
    precondition(total >= 0)
    switch try checked(at: base) {
    case .keepTokens(let count):
      guard count <= total else {
        throw PruningError(at: "\(base)/\(name)", "asks for \(count) tokens, but there are only \(total)")
      }
      return count
    case .keepRatio(let ratio):
      return max(roundHalfToEven(ratio, of: total), min(total, 1))
    case .pruneRatio(let ratio):
      return max(roundHalfToEven(1 - ratio, of: total), min(total, 1))
    }
  }

  private static let nameList = "keep_tokens, keep_ratio, prune_ratio"
}

/// The three ways to state one outcome; answers carry all of them.
public struct BudgetEcho: Sendable, Hashable {
  public let keepTokens: Int
  public let keepRatio: Double
  public let pruneRatio: Double

  /// - Precondition: 0 <= kept <= total. Of no tokens at all, everything counts as kept.
  public init(kept: Int, total: Int) {
    precondition(kept >= 0 && kept <= total)
    keepTokens = kept
    keepRatio = total == 0 ? 1 : Double(kept) / Double(total)
    pruneRatio = total == 0 ? 0 : Double(total - kept) / Double(total)
  }

  public var members: JSONObject {
    [
      "keep_tokens": .integer(keepTokens), "keep_ratio": .number(keepRatio),
      "prune_ratio": .number(pruneRatio),
    ]
  }
}

/// The one rounding rule from a share to a count.
///
/// - Precondition: share in 0...1.
func roundHalfToEven(_ share: Double, of total: Int) -> Int {
  precondition(share >= 0 && share <= 1)
  return min(Int((share * Double(total)).rounded(.toNearestOrEven)), total)
}
