import HTTP1
import TensorFormats
import TokenPruning

/// Which requests are computed on the event loop itself.
///
/// A thread hop and back costs more than top-k over a few hundred scores, and as much as the head mean of a megabyte
/// where nobody else waits. The head must allow it: a small body, and a query string that names a method whose cost is
/// linear and nothing that adds to the cost. (Parameters given twice are refused, so the body cannot change the method
/// afterwards.) And then the body must allow it.
enum OperationCost {
  static let tinyBodyBytes = 8 << 10
  static let briefBodyBytes = 2 << 20

  static func execution(of head: RequestHead, _ framing: BodyFraming) -> Acceptance.Execution {
    guard let length = framing.length, length <= briefBodyBytes, head.path == "/prune",
      let query = head.query, let items = try? QueryItem.decode(query),
      items.allSatisfy({ harmlessNames.contains($0.name) })
    else { return .pooled }
    let methods = items.filter { $0.name == "method" }
    guard methods.count == 1, methods[0].value.utf8.allSatisfy({ $0 < 0x80 }),
      let cost = costs[methods[0].value]
    else { return .pooled }
    switch cost {
    case .linear: return length <= tinyBodyBytes ? .inline : .inlineWhenIdle
    case .quadratic: return .inlineWhenAlone
    }
  }

  /// Whether the body costs a linear method little, too: an npy body holds one tensor and no parameters, so none that
  /// make few bytes mean much work, such as a layout of a million tokens. A tiny one has few rows, as each may be an
  /// image of its own; a larger one is one matrix.
  static func isCheap(_ body: [UInt8]) -> Bool {
    guard NPYFormat.matches(body.prefix(16)), let extents = NPYFormat.dimensions(of: body[...])?.first else {
      return false
    }
    if body.count <= tinyBodyBytes { return extents.dropLast().allSatisfy { $0 <= largestInlineExtent } }
    return extents.count <= 2 && extents.allSatisfy { $0 <= largestBriefExtent }
  }

  /// Whether the body keeps a method that compares all tokens with each other busy for a millisecond or so: no parameters
  /// beside the tensors, and no more multiply-adds in all pairs of their rows than an image of LLaVA-1.5 has.
  static func isBrief(_ body: [UInt8]) -> Bool {
    guard let format = TensorFormats.sniff(body.prefix(16)), let tensors = format.dimensions(of: body[...])
    else { return false }
    var (rows, width) = (0, 0)
    for extents in tensors {
      var count = 1
      for extent in extents.dropLast() {
        guard extent <= largestBriefExtent else { return false }
        count *= extent
        guard count <= largestBriefExtent else { return false }
      }
      rows += count
      width = max(width, extents.last ?? 1)
      guard rows <= largestBriefExtent, width <= largestBriefExtent else { return false }
    }
    return rows * rows * width <= largestBriefWork
  }

  /// Of heads or images: 64 heads are the most of any model served today.
  private static let largestInlineExtent = 64
  /// Of tokens, their rows of scores, or their features.
  static let largestBriefExtent = 4096
  /// 576 tokens and 32 rows beside them, 1,024 wide: 0.5 ms of DivPrune or CDPruner where features have structure, and
  /// 3 where they have none.
  private static let largestBriefWork = 608 * 608 * 1024

  private static let harmlessNames: Set = [
    "method", "keep_tokens", "keep_ratio", "prune_ratio", "seed", "tensor", "tensor_dtype", "batched",
  ]

  private static let costs = Dictionary(
    uniqueKeysWithValues: MethodRegistry.standard.descriptors.map { ($0.name, $0.cost) })
}
