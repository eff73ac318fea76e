import HTTP1
import JSON
import TensorFormats
import Tensors

/// Parameters in the query string: scalars as they are, anything else as JSON text.
///
/// `?keep_tokens=64&method=divprune`; `tensor` and `tensor_dtype` describe a body that cannot name its tensor
/// or its element type (npy).
struct QueryParameters {
  let tensorName: String?
  let elementType: ElementType?
  private let parameters: JSONObject

  init(_ query: String?) throws(Problem) {
    var parameters = JSONObject()
    var tensorName: String?
    var elementType: ElementType?
    let items: [QueryItem]
    do {
      items = try QueryItem.decode(query ?? "")
    } catch {
      throw Problem(.malformedQuery, error.reason)
    }
    for (index, item) in items.enumerated() {
      guard StreamSafeText.accepts(item.value) else {
        throw Problem(
          .malformedQuery,
          "'\(item.name.excerpt)' has more than \(StreamSafeText.longestRun) combining marks in a row")
      }
      guard !items[..<index].contains(where: { $0.name == item.name }) else {
        throw Problem(.malformedQuery, "'\(item.name.excerpt)' is given twice")
      }
      switch item.name {
      case "tensor": tensorName = item.value
      case "tensor_dtype":
        guard let type = ElementType(named: item.value) else {
          throw Problem(
            .invalidInput, "must be one of \(ElementType.knownNames), not '\(item.value.excerpt)'",
            pointer: "/tensor_dtype"
          )
        }
        elementType = type
        parameters[item.name] = .string(type.rawValue)
      default: parameters[item.name] = ParameterText.value(of: item.value)
      }
    }
    self.tensorName = tensorName
    self.elementType = elementType
    self.parameters = parameters
  }

  /// What the parameters of a query take in memory, at most.
  ///
  /// JSON's values are far larger than their text. One of these stands before each but the first of a parameter, as it is or
  /// in percent-encoding.
  static func heldBytes(of query: String?) -> Int {
    guard let query else { return 0 }
    let values = query.utf8.count { byte in
      switch byte {
      case UInt8(ascii: "&"), UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: ":"), UInt8(ascii: "{"),
        UInt8(ascii: "%"):
        true
      default: false
      }
    }
    return 8 * query.utf8.count + bytesPerValue * (values + 1)
  }

  /// A value in a list that grew to twice its size, or one with its name, and the block of memory of what it holds.
  private static let bytesPerValue = 64

  /// - Throws: when the query describes a body that says itself what its tensors are.
  func requireFit(with format: any TensorFormat.Type) throws(Problem) {
    guard format.name != NPYFormat.name else { return }
    guard tensorName == nil else {
      throw Problem(
        .invalidInput, "describes an npy body; a \(format.name) body names its tensors itself",
        pointer: "/tensor")
    }
    if let elementType, !SixteenBits.choices.contains(elementType) {
      throw Problem(
        .invalidInput,
        "only applies to npy bodies; for a \(format.name) body it can only declare two-byte integers: BF16, F16, U16, I16",
        pointer: "/tensor_dtype")
    }
  }

  /// - Throws: at the first parameter, where all stand in the body.
  func requireNone() throws(Problem) {
    guard let name = tensorName == nil ? parameters.names.first : "tensor" else { return }
    throw Problem(
      .unknownParameter,
      "there is no parameter '\(name.excerpt)' in the query string of an inference request; its parameters are a "
        + "member of the body", pointer: JSONPointer.token(name))
  }

  /// The pruning method, when the query string names it.
  var methodName: String? { parameters["method"]?.stringValue }

  /// - Throws: when body and query give the same parameter, since either could be the one that was meant.
  func merge(into body: inout JSONObject) throws(Problem) {
    for member in parameters.members {
      guard body[member.name] == nil else {
        throw Problem(
          .invalidInput, "is given in the body and in the query string",
          pointer: JSONPointer.token(member.name))
      }
      body[member.name] = member.value
    }
  }
}
