import HTTP1
import TensorFormats
import TokenPruning

/// Which requests are computed on the event loop itself.
///
/// A thread hop and back costs more than top-k over a few hundred scores. The head must allow it: a small body,
/// and a query string that names a method whose cost is linear and nothing that adds to the cost. (Parameters
/// given twice are refused, so the body cannot change the method afterwards.) And then the body must allow it.
enum OperationCost {
  static let tinyBodyBytes = 8 << 10

  static func isTiny(_ head: RequestHead, _ framing: BodyFraming) -> Bool {
    guard case .length(let length) = framing, length <= tinyBodyBytes, head.path == "/prune",
      let query = head.query, let items = try? QueryItem.decode(query),
      items.allSatisfy({ harmlessNames.contains($0.name) })
    else { return false }
    let methods = items.filter { $0.name == "method" }
    return methods.count == 1 && linearMethods.contains(methods[0].value)
  }

  /// Whether a tiny body costs little, too: an npy body holds one tensor and no parameters, so none that make few
  /// bytes mean much work, such as a layout of a million tokens; and few rows, as each may be an image of its own.
  static func isCheap(_ body: [UInt8]) -> Bool {
    guard NPYFormat.matches(body.prefix(16)), let extents = NPYFormat.dimensions(of: body[...]) else {
      return false
    }
    return extents.dropLast().allSatisfy { $0 <= largestInlineExtent }
  }

  /// Of heads or images: 64 heads are the most of any model served today.
  private static let largestInlineExtent = 64

  private static let harmlessNames: Set = [
    "method", "keep_tokens", "keep_ratio", "prune_ratio", "seed", "tensor", "tensor_dtype",
  ]

  private static let linearMethods = Set(
    MethodRegistry.standard.descriptors.filter { $0.cost == .linear }.map(\.name))
}
