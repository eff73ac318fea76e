import JSON
import Tensors

/// The checked header of a safetensors body.
struct SafetensorsHeader {
  struct Entry {
    var name: String
    var elementType: ElementType
    var shape: Shape
    var begin: Int
    var end: Int
  }

  /// Bytes of the JSON text, padding included.
  let length: Int
  /// Ordered by offset.
  private(set) var entries: [Entry] = []
  private(set) var metadata = JSONObject()

  /// - Parameters:
  ///   - quickly: whether a sound header may take the short way, which says the same.
  ///   - isInterrupted: once true, the header is read no further.
  init(
    _ body: ArraySlice<UInt8>, quickly: Bool = true, isInterrupted: Interruption? = nil
  ) throws(TensorFormatError) {
    guard let declared = SafetensorsFormat.headerLength(body) else {
      throw TensorFormatError(
        .malformed, byteOffset: 0,
        "a safetensors body starts with 8 bytes of header length; there are \(body.count)")
    }
    guard declared <= SafetensorsFormat.maximumHeaderLength else {
      throw TensorFormatError(
        .malformed, byteOffset: 0,
        "the header length \(declared) exceeds \(SafetensorsFormat.maximumHeaderLength) bytes")
    }
    length = Int(declared)
    guard length <= body.count - 8 else {
      throw TensorFormatError(
        .malformed, byteOffset: 0,
        "the header length \(length) exceeds the \(body.count - 8) bytes that follow it")
    }
    let text = body.dropFirst(8).prefix(length)
    guard text.first == UInt8(ascii: "{") else {
      throw TensorFormatError(.malformed, byteOffset: 8, "the header must start with '{'")
    }
    if quickly, let quick = Self.quick(text) {
      (entries, metadata) = quick
    } else {
      try readCarefully(text, isInterrupted)
    }
    entries.sort { ($0.begin, $0.end, $0.name) < ($1.begin, $1.end, $1.name) }
  }

  /// The members of a JSON object, no more than a header may have.
  private static func members(
    _ text: ArraySlice<UInt8>, _ isInterrupted: Interruption?
  ) throws(JSONError) -> [JSONObject.Member] {
    var scanner = JSONScanner(text)
    var budget = JSONScanner.Budget(isInterrupted: isInterrupted)
    var members: [JSONObject.Member] = []
    var tensorCount = 0
    var seen = try scanner.openObject()
    while let name = try scanner.nextMember(&seen) {
      if name != "__metadata__" { tensorCount += 1 }
      guard tensorCount <= SafetensorsFormat.maximumNames else {
        throw JSONError(
          .content, offset: scanner.offset, "a header of more than \(SafetensorsFormat.maximumNames) tensors")
      }
      do throws(JSONError) {
        members.append(.init(name: name, value: try scanner.readValue(budget: &budget)))
      } catch {
        throw error.inside(name)
      }
    }
    try scanner.finish()
    return members
  }

  private mutating func readCarefully(
    _ text: ArraySlice<UInt8>, _ isInterrupted: Interruption?
  ) throws(TensorFormatError) {
    let members: [JSONObject.Member]
    do throws(JSONError) {
      members = try Self.members(text, isInterrupted)
    } catch {
      throw TensorFormatError(error, startingAt: 8)
    }
    for member in members {
      if member.name == "__metadata__" {
        metadata = try Self.metadata(member.value)
      } else {
        entries.append(try Self.entry(member.name, member.value))
      }
    }
  }

  private static func metadata(_ value: JSONValue) throws(TensorFormatError) -> JSONObject {
    // The reference implementation reads null as no metadata.
    guard value != .null else { return JSONObject() }
    guard let object = value.objectValue else {
      throw TensorFormatError(
        .malformed, tensor: "__metadata__", "expected an object of strings, found \(value.kindWithArticle)")
    }
    guard object.members.count <= SafetensorsFormat.maximumNames else {
      throw TensorFormatError(
        .invalidContent, tensor: "__metadata__", "has more than \(SafetensorsFormat.maximumNames) strings")
    }
    for member in object.members where member.value.stringValue == nil {
      throw TensorFormatError(
        .malformed, pointer: "/__metadata__" + JSONPointer.token(member.name),
        "expected a string, found \(member.value.kindWithArticle)")
    }
    return object
  }

  private static func entry(_ name: String, _ value: JSONValue) throws(TensorFormatError) -> Entry {
    func malformed(_ message: String) -> TensorFormatError {
      TensorFormatError(.malformed, tensor: name, message)
    }
    guard let object = value.objectValue else {
      throw malformed("expected an object with dtype, shape and data_offsets, found \(value.kindWithArticle)")
    }
    guard let dtype = object["dtype"]?.stringValue else { throw malformed("dtype must be a string") }
    guard let dimensions = wholeNumbers(object["shape"]) else {
      throw malformed("shape must be an array of whole numbers from 0 on")
    }
    guard let offsets = wholeNumbers(object["data_offsets"]), offsets.count == 2 else {
      throw malformed("data_offsets must be two whole numbers from 0 on")
    }
    guard let elementType = ElementType(rawValue: dtype) else {
      let known = ElementType.allCases.map(\.rawValue).joined(separator: ", ")
      throw TensorFormatError(
        .unsupported, tensor: name, "dtype '\(dtype.excerpt)' is not supported; use one of \(known)")
    }
    let shape = try Shape.named(name, dimensions)
    guard offsets[0] <= offsets[1] else {
      throw malformed("data_offsets \(offsets) end before they begin")
    }
    let (size, overflow) = shape.elementCount.multipliedReportingOverflow(by: elementType.byteWidth)
    guard !overflow, size == offsets[1] - offsets[0] else {
      throw malformed(
        "shape \(shape) of \(dtype) takes \(overflow ? "more bytes than can be counted" : "\(size) bytes"), "
          + "but data_offsets \(offsets) span \(offsets[1] - offsets[0])")
    }
    return Entry(name: name, elementType: elementType, shape: shape, begin: offsets[0], end: offsets[1])
  }

  private static func wholeNumbers(_ value: JSONValue?) -> [Int]? {
    guard let elements = value?.arrayValue else { return nil }
    var numbers: [Int] = []
    for element in elements {
      guard case .integer(let number) = element, number >= 0 else { return nil }
      numbers.append(number)
    }
    return numbers
  }

  /// The tensors, as slices of the body.
  @inline(__always)
  func tensors(in body: ArraySlice<UInt8>) throws(TensorFormatError) -> [(name: String, tensor: Tensor)] {
    let data = body.dropFirst(8 + length)
    try checkCoverage(dataLength: data.count)
    var tensors: [(name: String, tensor: Tensor)] = []
    tensors.reserveCapacity(entries.count)
    for entry in entries {
      let bytes = data[(data.startIndex + entry.begin)..<(data.startIndex + entry.end)]
      tensors.append((entry.name, try .named(entry.name, entry.elementType, entry.shape, bytes)))
    }
    return tensors
  }

  /// Rejects holes, overlaps, and bytes that belong to no tensor.
  private func checkCoverage(dataLength: Int) throws(TensorFormatError) {
    var covered = 0
    for entry in entries {
      guard entry.begin == covered else {
        let fault = entry.begin < covered ? "overlaps the tensor before it" : "leaves a hole before it"
        throw TensorFormatError(
          .malformed, tensor: entry.name,
          "data_offsets [\(entry.begin), \(entry.end)] \(fault): expected to begin at \(covered)")
      }
      covered = entry.end
    }
    guard covered == dataLength else {
      throw TensorFormatError(
        .malformed, byteOffset: 8 + length + min(covered, dataLength),
        "the tensors take \(covered) bytes, but \(dataLength) follow the header")
    }
  }

  /// The parameters in `__metadata__`: those of the JSON object written as text under `parameters`, and members that
  /// have a parameter's own name, whose text is read as in a query string.
  ///
  /// - Throws: for a parameter given both ways.
  /// - Returns: the names of all other members, too, which describe the file.
  func parameters(
    named known: Set<String>, _ isInterrupted: Interruption? = nil
  ) throws(TensorFormatError) -> (parameters: JSONObject, others: [String]) {
    var parameters = try parameterObject(isInterrupted)
    var others: [String] = []
    for member in metadata.members where member.name != "parameters" {
      guard known.contains(member.name) else {
        others.append(member.name)
        continue
      }
      guard parameters[member.name] == nil else {
        throw TensorFormatError(
          .invalidContent, pointer: "/__metadata__" + JSONPointer.token(member.name),
          "is given here and in __metadata__.parameters; give it once")
      }
      parameters[member.name] = ParameterText.value(of: member.value.stringValue ?? "", isInterrupted)
      try isInterrupted.check()
    }
    return (parameters, others)
  }

  /// The JSON object written as text in `__metadata__["parameters"]`; an empty one when it is absent.
  private func parameterObject(_ isInterrupted: Interruption?) throws(TensorFormatError) -> JSONObject {
    guard let text = metadata["parameters"]?.stringValue else { return JSONObject() }
    let pointer = "/__metadata__/parameters"
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(Array(text.utf8)[...], isInterrupted: isInterrupted)
    } catch {
      try isInterrupted.check()
      throw TensorFormatError(.malformed, pointer: pointer + error.pointer, error.message)
    }
    guard let object = value.objectValue else {
      throw TensorFormatError(
        .invalidContent, pointer: pointer, "expected a JSON object as text, found \(value.kindWithArticle)")
    }
    return object
  }
}
