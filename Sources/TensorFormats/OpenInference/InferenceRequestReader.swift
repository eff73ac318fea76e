import JSON
import Tensors

/// Reads the JSON of an inference request member by member; numbers of tensors never become JSON values.
struct InferenceRequestReader {
  private var scanner: JSONScanner
  private var id: String?
  private var parameters = JSONObject()
  private var inputs: [InferenceInput]?
  private var outputs: [InferenceRequest.Output]?
  private var budget: JSONScanner.Budget
  private let isInterrupted: Interruption?

  /// What other servers read from the parameters of a request, and is nothing to an operation here.
  private static let ownParameters: Set = [
    "binary_data_output", "timeout", "priority", "headers", "content_type",
  ]

  init(_ text: ArraySlice<UInt8>, _ isInterrupted: Interruption?) {
    scanner = JSONScanner(JSONScanner.withoutByteOrderMark(text))
    budget = JSONScanner.Budget(
      values: JSONTensorReader.maximumParameterValueCount, isInterrupted: isInterrupted)
    self.isInterrupted = isInterrupted
  }

  mutating func read() throws(JSONError) {
    var members = try scanner.openObject()
    while let name = try scanner.nextMember(&members) {
      do throws(JSONError) {
        try readMember(name)
      } catch {
        throw error.inside(name)
      }
    }
    try scanner.finish()
  }

  private mutating func readMember(_ name: String) throws(JSONError) {
    _ = scanner.peek()
    let offset = scanner.offset
    switch name {
    case "id":
      let value = try scanner.readValue(budget: &budget)
      guard value == .null || value.stringValue != nil else {
        throw JSONError(.content, offset: offset, "expected a string, found \(value.kindWithArticle)")
      }
      id = value.stringValue
      guard (id?.utf8.count ?? 0) <= InferenceRequest.maximumIDBytes else {
        throw JSONError(
          .content, offset: offset, "an id has at most \(InferenceRequest.maximumIDBytes) bytes")
      }
    case "parameters": parameters = try Self.readParameters(&scanner, &budget)
    case "inputs":
      inputs = try readList { reader throws(JSONError) in
        try InferenceInput(&reader.scanner, budget: &reader.budget)
      }
    case "outputs":
      // Null and an empty list want what no list wants: everything.
      guard scanner.peek() == UInt8(ascii: "[") else {
        guard try scanner.readValue(budget: &budget) == .null else {
          throw JSONError(.content, offset: offset, "expected an array")
        }
        return
      }
      let list = try readList { reader throws(JSONError) in try reader.readOutput() }
      outputs = list.isEmpty ? nil : list
    // Clients that put the model's name here send it to the path that has the same.
    case "model_name", "model_version": _ = try scanner.readValue(budget: &budget)
    default:
      throw JSONError(
        .content, offset: offset,
        "a request has the members id, parameters, inputs and outputs; options of an operation are members of parameters"
      )
    }
  }

  private mutating func readList<Element>(
    _ element: (inout Self) throws(JSONError) -> Element
  ) throws(JSONError) -> [Element] {
    try scanner.openArray()
    var elements: [Element] = []
    var index = 0
    while try scanner.nextElement(&index) {
      try scanner.check(isInterrupted)
      do throws(JSONError) {
        guard elements.count < InferenceRequest.maximumTensors else {
          throw JSONError(
            .content, offset: scanner.offset, "more than \(InferenceRequest.maximumTensors) in one request")
        }
        elements.append(try element(&self))
      } catch {
        throw error.inside(index - 1)
      }
    }
    return elements
  }

  static func readParameters(
    _ scanner: inout JSONScanner, _ budget: inout JSONScanner.Budget
  ) throws(JSONError) -> JSONObject {
    _ = scanner.peek()
    let offset = scanner.offset
    switch try scanner.readValue(budget: &budget) {
    case .null: return JSONObject()
    case .object(let object): return object
    case let other:
      throw JSONError(.content, offset: offset, "expected an object, found \(other.kindWithArticle)")
    }
  }

  private mutating func readOutput() throws(JSONError) -> InferenceRequest.Output {
    _ = scanner.peek()
    let offset = scanner.offset
    let value = try scanner.readValue(budget: &budget)
    guard let object = value.objectValue, let name = object["name"]?.stringValue else {
      throw JSONError(.content, offset: offset, "an output must be an object with a name")
    }
    for member in object.members where member.name != "name" && member.name != "parameters" {
      throw JSONError(
        .content, offset: offset,
        "an output has the members name and parameters, not '\(member.name.excerpt)'")
    }
    let parameters = object["parameters"] ?? .null
    guard parameters == .null || parameters.objectValue != nil else {
      throw JSONError(.content, offset: offset, "the parameters of an output must be an object")
    }
    var isBinary: Bool?
    for member in parameters.objectValue?.members ?? [] {
      switch member.name {
      case "binary_data":
        guard let flag = member.value.boolValue else {
          throw JSONError(.content, offset: offset, "binary_data must be true or false")
        }
        isBinary = flag
      case "content_type", "headers": break
      case let name where InferenceRegion.describes(name): break
      // The clients' own default.
      case "classification" where member.value == .integer(0): break
      default:
        throw JSONError(
          .content, offset: offset, "'\(member.name.excerpt)' is not supported for outputs; binary_data is"
        )
      }
    }
    let region = try InferenceRegion(parameters.objectValue ?? JSONObject(), at: offset)
    return InferenceRequest.Output(name: name, isBinary: isBinary, region: region)
  }

  // MARK: The whole request

  /// Where inputs lie in shared memory, in their order.
  var regions: [InferenceRegion] { (inputs ?? []).compactMap(\.region) }

  /// - Parameters:
  ///   - binary: the bytes behind the JSON.
  ///   - shared: the content of ``regions``.
  func request(
    binary: ArraySlice<UInt8>, shared: [[UInt8]], _ hints: DecodingHints
  ) throws(JSONError) -> InferenceRequest {
    guard let inputs else {
      throw JSONError(.content, offset: 0, "the request has no member inputs; an empty list is accepted")
    }
    var rest = binary
    var shared = shared[...]
    var named = NamedInputs(hints)
    for (index, input) in inputs.enumerated() {
      try scanner.check(hints.isInterrupted)
      do throws(JSONError) {
        try named.add(input, try input.content(&rest, shared: &shared, hints.isInterrupted))
      } catch {
        throw error.inside(index).inside("inputs")
      }
    }
    guard rest.isEmpty else {
      throw JSONError(
        offset: scanner.offset,
        "\(rest.count) bytes of binary data belong to no input; binary_data_size says how many each has")
    }
    var request = InferenceRequest(
      id: id, document: try named.document(parameters, except: Self.ownParameters), outputs: outputs)
    request.wantsBinaryData = try flag("binary_data_output") ?? false
    if let timeout = parameters["timeout"] {
      guard let microseconds = timeout.integerValue, microseconds >= 0 else {
        throw JSONError(
          .content, offset: 0, pointer: "/parameters/timeout", "expected microseconds, 0 or more")
      }
      // As Triton has it, 0 is the server's own limit.
      request.timeout = microseconds == 0 ? nil : microseconds
    }
    return request
  }

  private func flag(_ name: String) throws(JSONError) -> Bool? {
    guard let value = parameters[name] else { return nil }
    guard let flag = value.boolValue else {
      throw JSONError(.content, offset: 0, pointer: "/parameters/\(name)", "expected true or false")
    }
    return flag
  }
}

/// Inputs by name: tensors, and the parameters among them.
private struct NamedInputs {
  private let hints: DecodingHints
  private var tensors: [(name: String, tensor: Tensor)] = []
  private var parameters: [JSONObject.Member] = []
  private var names = Set<String>()
  private var texts = ParameterTextBudget()

  init(_ hints: DecodingHints) { self.hints = hints }

  mutating func add(_ input: InferenceInput, _ content: InferenceInput.Content) throws(JSONError) {
    guard names.insert(input.name).inserted else {
      throw JSONError(.content, offset: input.offset, "there are two inputs '\(input.name.excerpt)'")
    }
    let isParameter = hints.parameterNames.contains(input.name)
    switch content {
    case .tensor(let tensor):
      if isParameter, let value = tensor.parameterValue {
        parameters.append(.init(name: input.name, value: value))
      } else {
        tensors.append((input.name, tensor))
      }
    case .texts(let texts):
      guard isParameter, texts.count == 1 else {
        throw JSONError(
          .content, offset: input.offset,
          isParameter
            ? "holds \(texts.count) texts; a parameter is one"
            : "there is no parameter '\(input.name.excerpt)', and tensors hold numbers, not BYTES")
      }
      parameters.append(.init(name: input.name, value: try value(of: texts[0], at: input.offset)))
    }
  }

  private mutating func value(of text: String, at offset: Int) throws(JSONError) -> JSONValue {
    do throws(ParameterTextBudget.Excess) {
      return try texts.value(of: text)
    } catch {
      throw JSONError(.content, offset: offset, error.message)
    }
  }

  /// - Parameter given: the parameters of the request, where objects and lists are written as JSON text.
  mutating func document(_ given: JSONObject, except others: Set<String>) throws(JSONError) -> TensorDocument
  {
    var all = parameters
    for member in given.members where !others.contains(member.name) {
      guard !names.contains(member.name) else {
        throw JSONError(
          .content, offset: 0, pointer: "/parameters" + JSONPointer.token(member.name),
          "is given as an input and as a parameter")
      }
      guard let text = member.value.stringValue else {
        all.append(member)
        continue
      }
      do throws(JSONError) {
        all.append(.init(name: member.name, value: try value(of: text, at: 0)))
      } catch {
        throw error.inside(member.name).inside("parameters")
      }
    }
    do throws(TensorFormatError) {
      return TensorDocument(
        tensors: try TensorLists.bundle(tensors), parameters: JSONObject(distinctMembers: all))
    } catch {
      throw JSONError(.content, offset: 0, pointer: error.pointer, error.message)
    }
  }
}
