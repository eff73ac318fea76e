import HTTP1
import TokenPruning

/// Which requests are computed on the event loop itself.
///
/// A thread hop and back costs more than top-k over a few hundred scores. What may run inline must be known from
/// the head: a small body, and a query string that names a method whose cost is linear. (Parameters given twice
/// are refused, so the body cannot change the method afterwards.)
enum OperationCost {
  static let tinyBodyBytes = 8 << 10

  static func isTiny(_ head: RequestHead, _ framing: BodyFraming) -> Bool {
    guard case .length(let length) = framing, length <= tinyBodyBytes, head.path == "/prune",
      let query = head.query, let items = try? QueryItem.decode(query)
    else { return false }
    let methods = items.filter { $0.name == "method" }
    return methods.count == 1 && linearMethods.contains(methods[0].value)
  }

  private static let linearMethods = Set(
    MethodRegistry.standard.descriptors.filter { $0.cost == .linear }.map(\.name))
}
