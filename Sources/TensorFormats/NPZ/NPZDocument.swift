import JSON
import Tensors

/// Collects what the arrays of an npz archive say.
struct NPZDocument {
  private let hints: DecodingHints
  private let start: Int
  private var tensors: [(name: String, tensor: Tensor)] = []
  private var parameters: [JSONObject.Member] = []
  private var taken: Set<String> = []

  private static let parametersName = "parameters"
  private var texts = ParameterTextBudget()

  /// - Parameter start: index of the archive's first byte, for errors.
  init(_ hints: DecodingHints, start: Int) {
    self.hints = hints
    self.start = start
  }

  func document() throws(TensorFormatError) -> TensorDocument {
    TensorDocument(
      tensors: try TensorLists.bundle(tensors), parameters: JSONObject(distinctMembers: parameters))
  }

  /// Takes an array that is a parameter.
  ///
  /// - Returns: false when it is a tensor.
  mutating func addParameter(
    _ name: String, _ npy: ArraySlice<UInt8>, _ entry: ZipDirectory.Entry
  ) throws(TensorFormatError) -> Bool {
    guard let header = try? NPYFormat.header(npy, tensor: name), header.dimensions.isEmpty else {
      return false
    }
    if let text = try Self.text(header, NPYFormat.data(npy), name) {
      let value: JSONValue
      do throws(ParameterTextBudget.Excess) {
        value = try texts.value(of: text)
      } catch {
        throw TensorFormatError(.invalidContent, tensor: name, error.message)
      }
      guard name == Self.parametersName else {
        try add(name, value)
        return true
      }
      guard case .object(let object) = value else {
        throw TensorFormatError(.malformed, tensor: name, "the text 'parameters' is one JSON object")
      }
      for member in object.members { try add(member.name, member.value) }
      return true
    }
    guard hints.parameterNames.contains(name) else { return false }
    guard let value = try read(name, npy, entry).parameterValue else { return false }
    try add(name, value)
    return true
  }

  mutating func addTensor(
    _ name: String, _ npy: ArraySlice<UInt8>, _ entry: ZipDirectory.Entry
  ) throws(TensorFormatError) {
    tensors.append((name, try read(name, npy, entry)))
  }

  private mutating func add(_ name: String, _ value: JSONValue) throws(TensorFormatError) {
    guard taken.insert(name).inserted else {
      throw TensorFormatError(
        .invalidContent, tensor: name, "'\(name.excerpt)' is given twice in the archive")
    }
    parameters.append(.init(name: name, value: value))
  }

  private func read(
    _ name: String, _ npy: ArraySlice<UInt8>, _ entry: ZipDirectory.Entry
  ) throws(TensorFormatError) -> Tensor {
    let declared = parameters.first { $0.name == "tensor_dtype" }?.value.stringValue
    var own = DecodingHints(tensorName: name)
    own.elementType =
      NPYFormat.isOpaque(npy) ? hints.elementType ?? declared.flatMap(ElementType.init(named:)) : nil
    do throws(TensorFormatError) {
      guard case .one(let tensor)? = try NPYFormat.decode(npy, own).tensors[name] else {
        throw TensorFormatError(.malformed, tensor: name, "holds no array")
      }
      return tensor
    } catch {
      var error = error
      if error.pointer.isEmpty { error.pointer = JSONPointer.token(name) }
      // Offsets in what was compressed say nothing about the body.
      error.byteOffset =
        error.byteOffset.map { entry.isDeflated ? entry.offset : npy.startIndex - start + $0 }
      throw error
    }
  }

  /// The one text of an array of numpy's types `U` (four bytes a character) and `S` (one); nil for other types.
  private static func text(
    _ header: NPYHeader, _ data: ArraySlice<UInt8>, _ name: String
  ) throws(TensorFormatError) -> String? {
    let order = header.descriptor.first
    guard let code = header.descriptor.dropFirst().first, code == "U" || code == "S" else { return nil }
    let width = code == "U" ? 4 : 1
    guard let count = Int(header.descriptor.dropFirst(2)),
      (0...ParameterTextBudget.maximumBytes).contains(count),
      data.count == count * width, order == "<" || order == ">" || order == "|"
    else {
      throw TensorFormatError(
        .malformed, tensor: name,
        "the array is declared as '\(header.descriptor)', a text of up to \(ParameterTextBudget.maximumBytes) characters, but has \(data.count) bytes"
      )
    }
    var scalars = String.UnicodeScalarView()
    for place in stride(from: data.startIndex, to: data.endIndex, by: width) {
      let bytes = data[place..<(place + width)]
      let number = (order == ">" ? Array(bytes) : bytes.reversed()).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      guard let scalar = Unicode.Scalar(number), code == "U" || number < 0x80 else {
        throw TensorFormatError(.invalidContent, tensor: name, "the text has an invalid character")
      }
      scalars.append(scalar)
    }
    // Shorter texts are filled up with NUL.
    while scalars.last == "\0" { scalars.removeLast() }
    let text = String(scalars)
    guard StreamSafeText.accepts(text) else {
      throw TensorFormatError(
        .invalidContent, tensor: name, "more than \(StreamSafeText.longestRun) combining marks in a row")
    }
    return text
  }
}
