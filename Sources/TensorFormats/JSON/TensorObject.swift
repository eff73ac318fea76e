import JSON
import Tensors

/// A tensor written as an object: `dtype`, `shape`, and `data` or `base64`.
enum TensorObject {
  private static let memberNames = ["dtype", "shape", "data", "base64"]

  /// Whether the object ahead is a tensor: it is when its first member is one of a tensor's.
  static func begins(at scanner: JSONScanner) -> Bool {
    var ahead = scanner
    guard var members = try? ahead.openObject(), let first = try? ahead.nextMember(&members) else {
      return false
    }
    return memberNames.contains(first)
  }

  /// Reads the object; its members may come in any order.
  ///
  /// - Throws: with a pointer relative to the object.
  static func read(
    _ scanner: inout JSONScanner, _ isInterrupted: Interruption? = nil
  ) throws(JSONError) -> Tensor {
    _ = scanner.peek()
    let start = scanner.offset
    var parts = Parts()
    var members = try scanner.openObject()
    while let name = try scanner.nextMember(&members) {
      try scanner.check(isInterrupted)
      do throws(JSONError) {
        try parts.read(name, &scanner)
      } catch {
        throw error.inside(name)
      }
    }
    switch (parts.data, parts.base64) {
    case (var data?, nil):
      do throws(JSONError) {
        return try tensor(
          &data, parts.regular, parts.elementType ?? .float32, parts.dimensions, isInterrupted)
      } catch {
        throw error.inside("data")
      }
    case (nil, let text?):
      do throws(JSONError) {
        guard let dimensions = parts.dimensions else {
          throw JSONError(.content, offset: text.offset, "a tensor in base64 needs a shape")
        }
        let bytes =
          if let decoded = parts.decoded { decoded } else { try decoded(text.text, at: text.offset) }
        return try .inJSON(parts.elementType ?? .float32, dimensions, bytes[...], at: text.offset)
      } catch {
        throw error.inside("base64")
      }
    case (nil, nil): throw JSONError(.content, offset: start, "a tensor needs data or base64")
    default: throw JSONError(.content, offset: start, "a tensor has either data or base64, not both")
    }
  }

  /// What the members read so far say.
  private struct Parts {
    var elementType: ElementType?
    var dimensions: [Int]?
    /// In front of the numbers: the dtype that says how to read them may come later.
    var data: JSONScanner?
    /// The numbers, where they could be read at once.
    var regular: RegularNumbers?
    var base64: (text: ArraySlice<UInt8>, offset: Int)?
    /// The bytes of `base64`, where its length was known before.
    var decoded: [UInt8]?

    mutating func read(_ name: String, _ scanner: inout JSONScanner) throws(JSONError) {
      _ = scanner.peek()
      let offset = scanner.offset
      switch name {
      case "dtype": elementType = try readElementType(&scanner)
      case "shape": dimensions = try readShape(&scanner)
      case "data":
        data = scanner
        regular = RegularNumbers(&scanner, as: elementType ?? .float32)
        if regular == nil { try scanner.skipNestedNumbers() }
      case "base64":
        if let text = readKnownBase64(&scanner) {
          base64 = (text, offset + 1)
        } else {
          base64 = (try Self.readText(&scanner), offset + 1)
        }
      default:
        throw JSONError(
          .content, offset: offset,
          "a tensor has no member '\(name)'; it has \(memberNames.joined(separator: ", "))")
      }
    }

    /// The bytes of a string: a slice where it has no escapes, else a copy.
    private static func readText(_ scanner: inout JSONScanner) throws(JSONError) -> ArraySlice<UInt8> {
      var ahead = scanner
      if let text = try? ahead.readUnescapedString() {
        scanner = ahead
        return text
      }
      return Array(try scanner.readString().utf8)[...]
    }

    /// Decodes the string ahead while looking for its end, if the members before it tell how long it is.
    ///
    /// - Returns: nil, with nothing read, when it has another length or is not base64.
    private mutating func readKnownBase64(_ scanner: inout JSONScanner) -> ArraySlice<UInt8>? {
      guard let dimensions, let shape = try? Shape(dimensions) else { return nil }
      let (count, overflow) = shape.elementCount
        .multipliedReportingOverflow(by: (elementType ?? .float32).byteWidth)
      guard !overflow else { return nil }
      for length in Base64.lengths(ofByteCount: count) {
        var ahead = scanner
        // No character of base64 is one that a string may not hold as it is.
        guard let text = ahead.readUncheckedString(ofLength: length), let bytes = try? Base64.decode(text)
        else { continue }
        decoded = bytes
        scanner = ahead
        return text
      }
      return nil
    }
  }

  private static func readElementType(_ scanner: inout JSONScanner) throws(JSONError) -> ElementType {
    _ = scanner.peek()
    let offset = scanner.offset
    let name = try scanner.readString()
    guard let elementType = ElementType(named: name) else {
      throw JSONError(
        .content, offset: offset,
        "dtype '\(name.excerpt)' is not supported; use one of \(ElementType.knownNames)")
    }
    return elementType
  }

  static func readShape(_ scanner: inout JSONScanner) throws(JSONError) -> [Int] {
    try scanner.openArray()
    var dimensions: [Int] = []
    var index = 0
    while try scanner.nextElement(&index) {
      let offset = scanner.offset
      guard dimensions.count < Shape.maximumRank else {
        throw JSONError(.content, offset: offset, "at most \(Shape.maximumRank) dimensions are supported")
      }
      do throws(JSONError) {
        guard let extent = Int(exactly: try scanner.readInteger()), extent >= 0 else {
          throw JSONError(.content, offset: offset, "expected a whole number from 0 on")
        }
        dimensions.append(extent)
      } catch {
        throw error.inside(index - 1)
      }
    }
    return dimensions
  }

  private static func decoded(_ text: ArraySlice<UInt8>, at offset: Int) throws(JSONError) -> [UInt8] {
    do throws(Base64.Failure) {
      return try Base64.decodeWrapped(text)
    } catch {
      throw JSONError(.content, offset: offset + error.offset, error.message)
    }
  }

  /// Reads `data`, and checks its nesting against the shape: flat data fit every shape of their length.
  static func tensor(
    _ data: inout JSONScanner, _ regular: RegularNumbers?, _ elementType: ElementType, _ dimensions: [Int]?,
    _ isInterrupted: Interruption? = nil
  ) throws(JSONError) -> Tensor {
    let offset = data.offset
    var regular = regular
    if let early = regular, early.elementType != elementType {
      regular = RegularNumbers(&data, as: elementType)
    }
    if let regular {
      return try tensor(regular.bytes, elementType, nested: regular.dimensions, dimensions, offset: offset)
    }
    try data.check(isInterrupted)
    var numbers = NestedNumbers(as: elementType, isInterrupted: isInterrupted)
    try numbers.read(&data)
    return try tensor(numbers.bytes, elementType, nested: numbers.dimensions, dimensions, offset: offset)
  }

  /// Checks the nesting of numbers against the shape: flat data fit every shape of their length.
  private static func tensor(
    _ bytes: [UInt8], _ elementType: ElementType, nested given: [Int], _ dimensions: [Int]?, offset: Int
  ) throws(JSONError) -> Tensor {
    if let dimensions, given.count != 1, dimensions != given {
      throw JSONError(.content, offset: offset, "the shape is \(dimensions), but data are nested as \(given)")
    }
    let count = bytes.count / elementType.byteWidth
    if let dimensions, let shape = try? Shape(dimensions), shape.elementCount != count {
      throw JSONError(
        .content, offset: offset,
        "shape \(shape) takes \(shape.elementCount) elements, but data hold \(count)")
    }
    return try .inJSON(elementType, dimensions ?? given, bytes[...], at: offset)
  }
}
