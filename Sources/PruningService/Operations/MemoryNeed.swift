import JSON
import TensorFormats
import Tensors
import TokenPruning
import VisionLayouts

/// The most memory that a request takes beside its body, told by shapes and parameters before any of it is taken.
///
/// An upper bound, not a forecast: `tools/memory.py` looks for requests that exceed it.
struct MemoryNeed: Sendable {
  /// Of each image while it is computed, the largest first.
  private let work: [Int]
  /// Of all answers.
  private(set) var answers: Int
  private let perTokenOfAnswers: Int
  /// N of each image, as far as its tensors tell.
  private var assumed: [Int] = []
  /// Of the tensors where decoding made them.
  private let tensors: Int
  /// Of all images while the batch is prepared and run: layouts, and the groups of tokens that have a budget.
  private(set) var prepared = 0
  /// Whether all images of the batch are computed at the same time, since they share a budget.
  private let isTogether: Bool

  /// What each token takes whatever is done with it: its place, its rank, lists of indices, its part of an answer.
  private static let perToken = 320
  /// The same for each index of a stage's answer and any other number that it lists, as such, as JSON values and as text.
  private static let perListedNumber = 96
  /// Each element of merged rows: the sums, the row, the bytes of its type, the text of a JSON answer and the room in
  /// which that grows.
  private static let perMergedElement = 56
  /// The search for a region widens the features or keys that it compares.
  private static let searchPerElement = 8
  /// An image's tensors and parameters, however small.
  private static let perImage = 8 << 10
  /// One image of a layout with several: its input, its state and its part of the answer, however small.
  private static let perPart = 2 << 10
  /// A view, its group and the list of that group's tokens, and each token there.
  private static let perView = 256
  private static let perPreparedToken = 24

  init(_ operation: Operation, _ document: TensorDocument, _ batch: Batch, isTogether: Bool = false) {
    self.isTogether = isTogether
    let parameters = document.parameters
    let method = Self.memory(of: operation, parameters)
    let stages = operation == .prune ? max(PruneOperation.stageTensorNames(parameters).count, 1) : 1
    perTokenOfAnswers = operation == .prune ? stages &* Self.perListedNumber : Self.perToken / 2
    var work: [Int] = []
    var answers = 0
    for sample in batch.samples {
      let tokens = Self.tokenCount(sample, isBatched: batch.isBatched, parameters)
      let scores = sample.reduce(0) { $0 + (TensorAxes.isAttention($1.key) ? $1.value.elementCount : 0) }
      let elements = sample.reduce(-scores) { $0 + $1.value.elementCount }
      work.append(
        Self.perImage &+ tokens &* Self.perToken
          &+ method.bytes(
            elements: elements, scores: scores, tokens: tokens, kept: Self.keptCount(of: tokens, parameters),
            texts: Self.textCount(sample)))
      answers &+= tokens &* perTokenOfAnswers
      assumed.append(tokens)
      if operation == .compress {
        answers &+= (sample["image_features"]?.elementCount ?? 0) &* Self.perMergedElement
      }
    }
    assumed.reverse()
    self.work = work.sorted(by: >)
    self.answers = answers
    tensors = Self.held(by: document.tensors) &+ document.reorderedBytes
  }

  /// Counts numbers of the answers that are no token's.
  mutating func addListed(_ numbers: Int) { answers &+= numbers &* Self.perListedNumber }

  /// Counts what preparing an image holds beside those before it.
  ///
  /// - Parameter isAlike: whether it shares what was prepared for the one before.
  mutating func addPrepared(_ layout: TokenLayout?, tokenCount: Int, isAlike: Bool) {
    // A layout or `previous` may have more tokens than any tensor has rows.
    if let next = assumed.popLast(), tokenCount > next {
      prepared &+= (tokenCount &- next) &* (Self.perToken &+ perTokenOfAnswers)
    }
    if let parts = layout?.imageCount, parts > 1 { prepared &+= parts &* Self.perPart }
    guard !isAlike else { return }
    prepared &+= tokenCount &* Self.perPreparedToken &+ (layout?.views.count ?? 0) &* Self.perView
  }

  /// - Parameters:
  ///   - decodedBytes: the most that decoding the body took.
  ///   - threads: how many images of a batch may be computed at the same time.
  func total(decodedBytes: Int, threads: Int) -> Int {
    let atOnce = isTogether ? work.count : max(threads, 1)
    return work.prefix(atOnce).reduce(prepared &+ answers &+ min(decodedBytes, tensors), &+)
  }

  /// Of the method that decides, and of the search for a region before it.
  private static func memory(of operation: Operation, _ parameters: JSONObject) -> MethodMemory {
    let search = MethodMemory(perElement: searchPerElement)
    switch operation {
    case .localize, .reselect: return search
    case .compress, .prune:
      let name = parameters["method"]?.stringValue ?? PruneRequest.defaultMethod
      let known = MethodRegistry.standard.memory(of: name)
      guard operation == .compress else {
        let known = known ?? .features
        return parameters["localize"].map({ $0 != false }) ?? false ? known.raised(to: search) : known
      }
      // The anchors of density peaks compare all tokens in float64.
      let anchors = MethodMemory(perElement: 24, perPair: 16)
      return known?.raised(to: anchors) ?? anchors
    }
  }

  /// N of an image; of one that only has a layout, the layout's.
  private static func tokenCount(
    _ tensors: [String: Tensor], isBatched: Bool, _ parameters: JSONObject
  ) -> Int {
    var count = 0
    for tensor in tensors.values where tensor.elementCount > 0 {
      count = max(count, tensor.shape.dimensions.max() ?? 0)
    }
    if count == 0, !isBatched, let json = parameters["layout"] {
      count = (try? TokenLayout(json, tokenCount: nil))?.tokenCount ?? 0
    }
    return min(count, TokenLayout.maximumTokenCount)
  }

  /// The rows of `text_features`.
  private static func textCount(_ tensors: [String: Tensor]) -> Int {
    guard let tensor = tensors["text_features"], tensor.elementCount > 0 else { return 0 }
    return tensor.rank == 1 ? 1 : tensor.shape[0]
  }

  /// How many tokens stay; all where that is not said in one number.
  private static func keptCount(of tokens: Int, _ parameters: JSONObject) -> Int {
    guard parameters["stages"] == nil else { return tokens }
    if let count = parameters["keep_tokens"]?.integerValue { return min(max(count, 0), tokens) }
    let share = parameters["keep_ratio"]?.doubleValue ?? 1 - (parameters["prune_ratio"]?.doubleValue ?? 0)
    return share >= 0 && share < 1 ? min(Int(share * Double(tokens)) + 1, tokens) : tokens
  }

  /// What decoding made beside the body: an upper bound, since tensors may be slices of it.
  private static func held(by tensors: TensorBundle) -> Int {
    tensors.names.reduce(0) { sum, name in
      switch tensors[name] {
      case .one(let tensor): sum + tensor.bytes.count
      case .many(let list): list.reduce(sum) { $0 + $1.bytes.count + 256 }
      case nil: sum
      }
    }
  }
}
