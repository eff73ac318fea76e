import Tensors
import TokenPruning

/// About how long a computation takes, by the class of its method and the shapes of its tensors.
///
/// It decides where a request is computed, not what is computed: a factor of two either way costs some microseconds.
struct ComputeCost: Sendable {
  let nanoseconds: Double

  /// Not to be told beforehand.
  static let unbounded = ComputeCost(nanoseconds: .infinity)

  // Measured with `hot-paths` on a processor with AVX2, and rounded up.
  private static let perTask = 5_000.0
  private static let perElement = 0.15
  private static let perToken = 15.0
  private static let perListedNumber = 30.0
  private static let perRectangleSearch = 5_000.0
  /// Of each number of each pair of rows that are compared.
  private static let perProduct = 0.005
  /// How much more of them all pairs are than those that searches compare.
  private static let allPairsFactor = 2.0
  /// What is done with each pair, however short its rows are; searches look at few of them, unless many rows are alike.
  private static let perPair = 3.0
  private static let perSearchedPair = 0.5
  /// How much more than choosing it takes to say why.
  private static let explanationFactor = 4.0

  private init(nanoseconds: Double) { self.nanoseconds = nanoseconds }

  /// Of numbers in the answer that no token is the reason for.
  init(listing numbers: Int) { nanoseconds = Self.perListedNumber * Double(numbers) }

  /// Of finding a region.
  init(_ input: PruningInput, _ plan: RegionPlan) {
    nanoseconds = Self.perTask + Self.reading(input) + Self.finding(plan, input)
  }

  /// Of finding a region and choosing tokens.
  init(
    _ input: PruningInput, _ plan: RegionPlan, _ pruning: PreparedPruning, readsElements: Bool, explains: Bool
  ) {
    let choosing = Self.reading(input, elements: readsElements) + Self.choosing(input, pruning.work)
    nanoseconds =
      Self.perTask + Self.finding(plan, input)
      + choosing * Double(pruning.stepCount) * (explains ? Self.explanationFactor : 1)
  }

  /// Of finding a region and merging tokens, each of which is compared with those that are kept.
  init(merging input: PruningInput, _ plan: RegionPlan, _ work: MethodWork) {
    nanoseconds =
      Self.perTask + Self.reading(input) + Self.finding(plan, input) + Self.searching(input)
      + Self.choosing(input, work)
  }

  static func + (a: ComputeCost, b: ComputeCost) -> ComputeCost {
    ComputeCost(nanoseconds: a.nanoseconds + b.nanoseconds)
  }

  private static func reading(_ input: PruningInput, elements isRead: Bool = true) -> Double {
    let elements = !isRead ? 0 : input.tensors.values.reduce(0) { $0 + $1.elementCount }
    return perElement * Double(elements) + perToken * Double(input.tokenCount)
  }

  private static func finding(_ plan: RegionPlan, _ input: PruningInput) -> Double {
    guard case .found(let search) = plan else { return 0 }
    guard !search.usesModel, let count = search.searchCount else { return .infinity }
    return perRectangleSearch * Double(count) + search.otherSteps(on: input)
  }

  private static func choosing(_ input: PruningInput, _ work: MethodWork) -> Double {
    let comparing =
      switch work.cost {
      case .linear: 0.0
      case .quadratic: searching(input)
      case .allPairs: allPairsFactor * Self.comparing(input) + perPair * pairs(input)
      }
    return comparing + work.otherSteps
  }

  private static func searching(_ input: PruningInput) -> Double {
    comparing(input) + perSearchedPair * pairs(input)
  }

  private static func pairs(_ input: PruningInput) -> Double {
    Double(input.tokenCount) * Double(input.tokenCount)
  }

  /// All rows of all tensors with one another.
  private static func comparing(_ input: PruningInput) -> Double {
    var (rows, width) = (0.0, 1.0)
    for tensor in input.tensors.values where tensor.rank > 0 {
      let last = tensor.shape[tensor.rank - 1]
      width = max(width, Double(last))
      rows += Double(tensor.elementCount) / Double(max(last, 1))
    }
    return perProduct * rows * rows * width
  }
}
