import JSON
import Tensors

/// Reads a JSON body member by member; numbers of tensors never become JSON values.
struct JSONTensorReader {
  /// The most JSON values all parameters together may hold; those of real requests hold a few hundred.
  static let maximumParameterValueCount = 1 << 20
  /// The most names of tensors; requests have a dozen, and one for each stage.
  static let maximumTensorCount = 1024

  private var scanner: JSONScanner

  init(_ body: ArraySlice<UInt8>) { scanner = JSONScanner(JSONScanner.withoutByteOrderMark(body)) }

  mutating func readDocument(_ hints: DecodingHints) throws(TensorFormatError) -> TensorDocument {
    do throws(JSONError) {
      var tensors: [String: TensorBundle.Entry] = [:]
      var parameters: [JSONObject.Member] = []
      var budget = JSONScanner.Budget(
        values: Self.maximumParameterValueCount, isInterrupted: hints.isInterrupted)
      var members = try scanner.openObject()
      while let name = try scanner.nextMember(&members) {
        try scanner.check(hints.isInterrupted)
        do throws(JSONError) {
          if let entry = try readTensor(name, hints) {
            // Names of other bytes may be equal to a dictionary.
            guard tensors.updateValue(entry, forKey: name) == nil else {
              throw JSONError(.content, offset: scanner.offset, "there are two tensors of this name")
            }
            guard tensors.count <= Self.maximumTensorCount else {
              throw JSONError(
                .content, offset: scanner.offset,
                "more than \(Self.maximumTensorCount) tensors in one request")
            }
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
      return ahead.peek() == UInt8(ascii: "\"") ? nil : try readArray(hints.isInterrupted)
    case UInt8(ascii: "{"):
      return TensorObject.begins(at: scanner)
        ? .one(try TensorObject.read(&scanner, hints.isInterrupted)) : nil
    default: return nil
    }
  }

  /// Reads nested numbers, or a list of tensor objects.
  private mutating func readArray(_ isInterrupted: Interruption?) throws(JSONError) -> TensorBundle.Entry {
    var ahead = scanner
    try ahead.openArray()
    guard ahead.peek() == UInt8(ascii: "{") else {
      let offset = scanner.offset
      if let array = scanner.readRegularNumbers(
        as: .float32, maximumRank: Shape.maximumRank, allowsRagged: true)
      {
        return try Self.entry(array.bytes, array.dimensions, array.innerLengths, offset: offset)
      }
      try scanner.check(isInterrupted)
      var numbers = NestedNumbers(allowsRagged: true, isInterrupted: isInterrupted)
      try numbers.read(&scanner)
      return try Self.entry(numbers.bytes, numbers.dimensions, numbers.raggedLengths, offset: offset)
    }
    scanner = ahead
    var tensors: [Tensor] = []
    var index = 0
    while try scanner.nextElement(&index) {
      if index % 64 == 0 { try scanner.check(isInterrupted) }
      do throws(JSONError) {
        guard tensors.count < TensorBundle.maximumListCount else {
          throw JSONError(
            .content, offset: scanner.offset,
            "a list of more than \(TensorBundle.maximumListCount) tensors")
        }
        tensors.append(try TensorObject.read(&scanner, isInterrupted))
      } catch {
        throw error.inside(index - 1)
      }
    }
    return .many(tensors)
  }

  /// F32 elements as one tensor, or as a list when the first inner axis varies.
  private static func entry(
    _ bytes: [UInt8], _ dimensions: [Int], _ lengths: [Int]?, offset: Int
  ) throws(JSONError) -> TensorBundle.Entry {
    do throws(TensorError) {
      guard let lengths else {
        return .one(try Tensor(elementType: .float32, shape: Shape(dimensions), bytes: bytes[...]))
      }
      let inner = Array(dimensions.dropFirst(2))
      var rest = bytes[...]
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
