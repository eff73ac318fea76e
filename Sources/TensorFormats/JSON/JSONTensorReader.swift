import JSON
import Tensors

/// Reads a JSON body member by member; numbers of tensors never become JSON values.
struct JSONTensorReader {
  /// The most JSON values all parameters together may hold; those of real requests hold a few hundred.
  static let maximumParameterValueCount = 1 << 20

  private var scanner: JSONScanner

  init(_ body: ArraySlice<UInt8>) { scanner = JSONScanner(body) }

  mutating func readDocument(_ hints: DecodingHints) throws(TensorFormatError) -> TensorDocument {
    do throws(JSONError) {
      var tensors: [String: TensorBundle.Entry] = [:]
      var parameters: [JSONObject.Member] = []
      var budget = Self.maximumParameterValueCount
      var members = try scanner.openObject()
      while let name = try scanner.nextMember(&members) {
        do throws(JSONError) {
          if let entry = try readTensor(name, hints) {
            tensors[name] = entry
          } else {
            parameters.append(.init(name: name, value: try scanner.readValue(budget: &budget)))
          }
        } catch {
          throw error.inside(name)
        }
      }
      try scanner.finish()
      return TensorDocument(
        tensors: TensorBundle(tensors), parameters: JSONObject(distinctMembers: parameters))
    } catch {
      throw TensorFormatError(error)
    }
  }

  /// - Returns: nil, with nothing read, when the member is a parameter.
  private mutating func readTensor(
    _ name: String, _ hints: DecodingHints
  ) throws(JSONError) -> TensorBundle.Entry? {
    guard !hints.parameterNames.contains(name) else { return nil }
    switch scanner.peek() {
    case UInt8(ascii: "["):
      var ahead = scanner
      try ahead.openArray()
      // No tensor holds text, so this can only be a parameter, known or not.
      return ahead.peek() == UInt8(ascii: "\"") ? nil : try readArray()
    case UInt8(ascii: "{"):
      return TensorObject.begins(at: scanner) ? .one(try TensorObject.read(&scanner)) : nil
    default: return nil
    }
  }

  /// Reads nested numbers, or a list of tensor objects.
  private mutating func readArray() throws(JSONError) -> TensorBundle.Entry {
    var ahead = scanner
    try ahead.openArray()
    guard ahead.peek() == UInt8(ascii: "{") else {
      var numbers = NestedNumbers(allowsRagged: true)
      let offset = scanner.offset
      try numbers.read(&scanner)
      return try numbers.entry(offset: offset)
    }
    scanner = ahead
    var tensors: [Tensor] = []
    var index = 0
    while try scanner.nextElement(&index) {
      do throws(JSONError) {
        tensors.append(try TensorObject.read(&scanner))
      } catch {
        throw error.inside(index - 1)
      }
    }
    return .many(tensors)
  }
}

extension NestedNumbers {
  /// The numbers as one tensor, or as a list when the first inner axis varies.
  fileprivate func entry(offset: Int) throws(JSONError) -> TensorBundle.Entry {
    do throws(TensorError) {
      let bytes = bytes[...]
      guard let lengths = raggedLengths else {
        return .one(try Tensor(elementType: .float32, shape: Shape(dimensions), bytes: bytes))
      }
      let inner = Array(dimensions.dropFirst(2))
      var rest = bytes
      var tensors: [Tensor] = []
      tensors.reserveCapacity(lengths.count)
      for length in lengths {
        let shape = try Shape([length] + inner)
        let own = rest.prefix(shape.elementCount * ElementType.float32.byteWidth)
        tensors.append(try Tensor(elementType: .float32, shape: shape, bytes: own))
        rest = rest.dropFirst(own.count)
      }
      return .many(tensors)
    } catch {
      throw JSONError(.content, offset: offset, error.description)
    }
  }
}
