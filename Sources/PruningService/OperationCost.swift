import HTTP1
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

  /// Whether a tiny body costs little, too: nothing in it can name a parameter that makes few bytes mean much
  /// work, such as a layout of a million tokens.
  ///
  /// Only the bytes are looked at, since reading the body is half of the work; whatever contains such a name
  /// by chance is computed elsewhere, which is as good.
  static func isCheap(_ body: [UInt8]) -> Bool {
    body.withUnsafeBytes { bytes in
      for (index, byte) in bytes.enumerated() {
        // The first bytes of the words: nearly every byte of a body ends here.
        guard byte == 0x6c || byte == 0x72 || byte == 0x73 || byte == 0x5c else { continue }
        for word in costlyWords where bytes[index...].starts(with: word) { return false }
      }
      return true
    }
  }

  private static let harmlessNames: Set = [
    "method", "keep_tokens", "keep_ratio", "prune_ratio", "seed", "tensor", "tensor_dtype",
  ]

  /// Names of members, and the start of the only escape that could spell one of them differently.
  private static let costlyWords = ["layout", "localize", "region", "stages", "\\u"].map { Array($0.utf8) }

  private static let linearMethods = Set(
    MethodRegistry.standard.descriptors.filter { $0.cost == .linear }.map(\.name))
}
