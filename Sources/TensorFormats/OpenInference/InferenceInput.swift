import JSON
import Tensors

/// One input of an inference request: what its JSON says, and where its data stand.
struct InferenceInput {
  enum Content {
    case tensor(Tensor)
    case texts([String])
  }

  let name: String
  /// Where its object begins in the JSON.
  let offset: Int
  private let datatype: InferenceDatatype
  private let dimensions: [Int]
  private let data: Data
  private let binaryByteCount: Int?
  /// Where the data lie instead, in shared memory.
  let region: InferenceRegion?

  /// The member `data`, read or only passed over: `datatype`, which says how to read it, may come later.
  private enum Data {
    case none
    case numbers(JSONScanner, RegularNumbers?)
    case values(JSONValue, offset: Int)
  }

  private static let maximumTextCount = 4096
  /// As many as names of tensors have elsewhere.
  private static let maximumNameBytes = 256

  /// Reads one object of `inputs`; its members may come in any order.
  init(_ scanner: inout JSONScanner, budget: inout JSONScanner.Budget) throws(JSONError) {
    _ = scanner.peek()
    offset = scanner.offset
    var name: String?
    var datatype: InferenceDatatype?
    var dimensions: [Int]?
    var data = Data.none
    var parameters = JSONObject()
    var members = try scanner.openObject()
    while let member = try scanner.nextMember(&members) {
      do throws(JSONError) {
        switch member {
        case "name": name = try Self.readName(&scanner)
        case "datatype": datatype = try Self.readDatatype(&scanner)
        case "shape": dimensions = try TensorObject.readShape(&scanner)
        case "parameters": parameters = try InferenceRequestReader.readParameters(&scanner, &budget)
        case "data": data = try Self.readData(&scanner, datatype, &budget)
        default:
          throw JSONError(
            .content, offset: scanner.offset,
            "an input has the members name, shape, datatype, parameters and data")
        }
      } catch {
        throw error.inside(member)
      }
    }
    guard let name, let datatype, let dimensions else {
      throw JSONError(.content, offset: offset, "an input needs a name, a shape and a datatype")
    }
    self.name = name
    self.datatype = datatype
    self.dimensions = dimensions
    self.data = data
    binaryByteCount = try Self.binaryByteCount(parameters, offset)
    region = try InferenceRegion(parameters, at: offset)
    try checkRegion()
  }

  private static func readName(_ scanner: inout JSONScanner) throws(JSONError) -> String {
    _ = scanner.peek()
    let offset = scanner.offset
    let name = try scanner.readString()
    guard name.utf8.count <= maximumNameBytes else {
      throw JSONError(.content, offset: offset, "a name has at most \(maximumNameBytes) bytes")
    }
    return name
  }

  private static func readDatatype(_ scanner: inout JSONScanner) throws(JSONError) -> InferenceDatatype {
    _ = scanner.peek()
    let offset = scanner.offset
    let name = try scanner.readString()
    guard let datatype = InferenceDatatype(name) else {
      throw JSONError(
        .content, offset: offset,
        "there is no datatype '\(name.excerpt)'; known: \(InferenceDatatype.knownNames)")
    }
    return datatype
  }

  private static func readData(
    _ scanner: inout JSONScanner, _ datatype: InferenceDatatype?,
    _ budget: inout JSONScanner.Budget
  ) throws(JSONError) -> Data {
    var first = scanner
    while first.peek() == UInt8(ascii: "[") { try first.openArray() }
    // Texts; and null, which some clients write where the data are binary.
    guard first.peek() != UInt8(ascii: "\""), scanner.peek() == UInt8(ascii: "[") else {
      let offset = scanner.offset
      let value = try scanner.readValue(budget: &budget)
      return value == .null ? .none : .values(value, offset: offset)
    }
    let start = scanner
    if case .numbers(let type)? = datatype, let regular = RegularNumbers(&scanner, as: type) {
      return .numbers(start, regular)
    }
    try scanner.skipNestedNumbers()
    return .numbers(start, nil)
  }

  private static func binaryByteCount(_ parameters: JSONObject, _ offset: Int) throws(JSONError) -> Int? {
    var count: Int?
    for member in parameters.members {
      switch member.name {
      case "binary_data_size":
        guard let size = member.value.integerValue, size >= 0 else {
          throw JSONError(.content, offset: offset, "binary_data_size is a number of bytes").inside(
            "parameters")
        }
        count = size
      // How some clients encoded the tensor for themselves.
      case "content_type", "headers": break
      case let name where InferenceRegion.describes(name): break
      default:
        throw JSONError(
          .content, offset: offset,
          "'\(member.name.excerpt)' is not a parameter of an input; options of an operation are parameters of the request"
        ).inside("parameters")
      }
    }
    return count
  }

  /// Before anything is read there: the shape says how many bytes numbers have.
  private func checkRegion() throws(JSONError) {
    guard let region else { return }
    guard case .none = data, binaryByteCount == nil else {
      throw JSONError(
        .content, offset: offset, "an input has either data, binary_data_size or a region of shared memory")
    }
    guard case .numbers(let type) = datatype else { return }
    let shape: Shape
    do throws(TensorError) {
      shape = try Shape(dimensions)
    } catch {
      throw JSONError(.content, offset: offset, pointer: "/shape", error.description)
    }
    let (byteCount, overflow) = shape.elementCount.multipliedReportingOverflow(by: type.byteWidth)
    guard !overflow, byteCount == region.byteCount else {
      throw JSONError(
        .content, offset: offset, pointer: "/parameters",
        "shape \(shape) of \(datatype.name) takes \(byteCount) bytes, but shared_memory_byte_size is \(region.byteCount)"
      )
    }
  }

  // MARK: Content

  /// The input's elements.
  ///
  /// - Parameters:
  ///   - rest: the binary data not yet taken; the call takes its part from the front.
  ///   - shared: what was read of shared memory, likewise.
  ///   - isInterrupted: asked while numbers are read one by one.
  func content(
    _ rest: inout ArraySlice<UInt8>, shared: inout ArraySlice<[UInt8]>, _ isInterrupted: Interruption? = nil
  ) throws(JSONError) -> Content {
    if region != nil {
      guard let bytes = shared.popFirst() else {
        preconditionFailure("whoever reads shared memory reads it for every input")
      }
      return try content(of: bytes[...])
    }
    guard let binaryByteCount else { return try contentOfJSON(isInterrupted) }
    guard case .none = data else {
      throw JSONError(.content, offset: offset, "an input has either data or binary_data_size, not both")
    }
    guard binaryByteCount <= rest.count else {
      throw JSONError(
        offset: offset,
        "binary_data_size is \(binaryByteCount), but \(rest.count) bytes of binary data are left")
    }
    let bytes = rest.prefix(binaryByteCount)
    rest = rest.dropFirst(binaryByteCount)
    return try content(of: bytes)
  }

  private func content(of bytes: ArraySlice<UInt8>) throws(JSONError) -> Content {
    switch datatype {
    case .numbers(let type): return .tensor(try .inJSON(type, dimensions, bytes, at: offset))
    case .bytes: return .texts(try texts(bytes))
    }
  }

  private func contentOfJSON(_ isInterrupted: Interruption?) throws(JSONError) -> Content {
    do throws(JSONError) {
      switch (data, datatype) {
      case (.none, _):
        throw JSONError(
          .content, offset: offset, "an input needs data, or binary_data_size with the data after the JSON")
      case (.numbers(var scanner, let regular), .numbers(let type)):
        return .tensor(try TensorObject.tensor(&scanner, regular, type, dimensions, isInterrupted))
      case (.values(let value, let offset), .bytes):
        return .texts(try Self.texts(value, offset, shape: dimensions))
      case (.numbers, .bytes): throw JSONError(.content, offset: offset, "BYTES must be strings")
      case (.values, .numbers(let type)):
        throw JSONError(
          .content, offset: offset, "expected an array of numbers for \(InferenceDatatype.numbers(type).name)"
        )
      }
    } catch {
      throw error.inside("data")
    }
  }

  /// Texts in JSON, nested or not.
  private static func texts(_ value: JSONValue, _ offset: Int, shape: [Int]) throws(JSONError) -> [String] {
    var texts: [String] = []
    var waiting = [value]
    while let next = waiting.popLast() {
      switch next {
      case .string(let text): texts.append(text)
      case .array(let elements): waiting += elements.reversed()
      default: throw JSONError(.content, offset: offset, "BYTES must be strings, not \(next.kindWithArticle)")
      }
    }
    try check(texts.count, offset, shape)
    return texts
  }

  /// Texts as binary data: four bytes of length in front of each.
  private func texts(_ bytes: ArraySlice<UInt8>) throws(JSONError) -> [String] {
    // Before any is copied.
    guard bytes.count <= ParameterTextBudget.maximumBytes + 4 * Self.maximumTextCount else {
      throw JSONError(
        .content, offset: offset,
        "the texts of one request have at most \(ParameterTextBudget.maximumBytes) bytes")
    }
    var rest = bytes
    var texts: [String] = []
    while !rest.isEmpty {
      let length = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
      guard rest.count >= 4, length <= rest.count - 4, texts.count < Self.maximumTextCount else {
        throw JSONError(
          offset: offset, "BYTES are a length of four bytes and as many bytes, for each element")
      }
      let content = rest.dropFirst(4).prefix(length)
      guard let text = String(validating: content, as: UTF8.self), StreamSafeText.accepts(text) else {
        throw JSONError(.content, offset: offset, "a text is not in UTF-8")
      }
      texts.append(text)
      rest = rest.dropFirst(4 + length)
    }
    try Self.check(texts.count, offset, dimensions)
    return texts
  }

  private static func check(_ count: Int, _ offset: Int, _ dimensions: [Int]) throws(JSONError) {
    let shape: Shape
    do throws(TensorError) {
      shape = try Shape(dimensions)
    } catch {
      throw JSONError(.content, offset: offset, error.description)
    }
    guard shape.elementCount == count else {
      throw JSONError(
        .content, offset: offset,
        "shape \(shape) takes \(shape.elementCount) elements, but data hold \(count)")
    }
  }
}
