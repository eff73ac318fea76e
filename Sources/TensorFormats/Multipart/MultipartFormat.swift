import JSON
import Tensors

/// multipart/form-data (RFC 7578), as `curl -F` and HTML forms send it: a part for each tensor, parameters beside them.
///
/// A part is what its media type says, or its first bytes where that is generic: npy is a tensor of the part's name; of
/// safetensors and npz, one tensor takes the part's name (unless that is `tensors`) and several keep their own. The part
/// `parameters` is a JSON body without tensors; every other part is a parameter written as in a query string, or a
/// tensor in JSON. Tensors are slices of the body.
public enum MultipartFormat: TensorFormat {
  public static let name = "multipart"
  public static let mediaTypes = ["multipart/form-data"]

  /// Of the part of safetensors whose tensors keep their names.
  static let neutralName = "tensors"
  static let parametersName = "parameters"

  public static func matches(_ prefix: ArraySlice<UInt8>) -> Bool {
    prefix.starts(with: "--".utf8) || prefix.starts(with: "\r\n--".utf8)
  }

  public static func decode(
    _ body: ArraySlice<UInt8>, _ hints: DecodingHints
  ) throws(TensorFormatError) -> TensorDocument {
    var reader = try MultipartReader(body, boundary: hints.boundary)
    var form = FormDocument(hints, start: body.startIndex)
    var tensorParts: [(part: MultipartPart, format: any TensorFormat.Type)] = []
    while let part = try reader.next() {
      try hints.checkInterruption()
      // Parameters come first, as one of them may say what the elements of a tensor are.
      switch try kind(of: part, hints) {
      case .tensors(let format): tensorParts.append((part, format))
      case .json: try form.addJSON(part)
      case .scalar(let text): try form.add(parameter: part.name, ParameterText.value(of: text))
      case .ignored: break
      }
    }
    for (part, format) in tensorParts {
      try hints.checkInterruption()
      try form.addTensors(of: part, format)
    }
    return try form.document()
  }

  /// Of each part, and what lists of parts take.
  public static func decodingBytes(of body: ArraySlice<UInt8>, _ hints: DecodingHints) -> Int {
    guard var reader = try? MultipartReader(body, boundary: hints.boundary) else { return 0 }
    var bytes = 0
    // The directories of archives take time; once that is over, the body is not read either.
    while hints.isInterrupted?() != true, let part = try? reader.next() {
      let format: any TensorFormat.Type =
        if case .tensors(let format)? = try? kind(of: part, hints) { format } else { JSONTensorFormat.self }
      let content =
        format.name == NPZFormat.name
        ? NPZFormat.decodingBytes(of: part.content, hints, isAlone: false)
        : format.decodingBytes(of: part.content, hints)
      // Text is copied once, to be read under its name.
      bytes += 1024 + content + (format.name == JSONTensorFormat.name ? part.content.count : 0)
    }
    return bytes
  }

  enum Kind {
    case tensors(any TensorFormat.Type)
    /// An object or an array, or the part `parameters`.
    case json
    case scalar(String)
    /// HTML's `_charset_` (RFC 7578 section 4.6).
    case ignored
  }

  /// Formats that a part can be in beside JSON.
  private static let files: [any TensorFormat.Type] = TensorFormats.sniffingOrder.filter {
    $0.name != JSONTensorFormat.name
  }

  static func kind(of part: MultipartPart, _ hints: DecodingHints) throws(TensorFormatError) -> Kind {
    guard part.name != "_charset_" else { return .ignored }
    guard part.name != parametersName else { return .json }
    if let type = part.mediaType, let format = files.first(where: { $0.mediaTypes.contains(type) }) {
      return .tensors(format)
    }
    let prefix = part.content.prefix(16)
    if let format = files.first(where: { $0.matches(prefix) }) { return .tensors(format) }
    let isText = part.mediaType.map { $0.hasPrefix("text/") || $0 == "application/json" } ?? false
    let first = part.content.first { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }
    if first == UInt8(ascii: "{") || first == UInt8(ascii: "[") { return .json }
    let mayBeScalar =
      isText || !part.isFile && part.mediaType == nil || hints.parameterNames.contains(part.name)
    if mayBeScalar, part.content.count <= maximumScalarBytes,
      let text = String(validating: part.content, as: UTF8.self)
    {
      guard StreamSafeText.accepts(text) else {
        throw TensorFormatError(
          .invalidContent, tensor: part.name,
          "more than \(StreamSafeText.longestRun) combining marks in a row")
      }
      return .scalar(text)
    }
    throw TensorFormatError(
      .unsupported, tensor: part.name,
      part.content.isEmpty
        ? "the part is empty; \(TensorFormats.alternatives) as its content"
        : TensorFormats.refusedByName(prefix: prefix)
          ?? part.mediaType.flatMap(TensorFormats.refusedByName(mediaType:))
          ?? "the part is none of npy, npz, safetensors, JSON and text; save the tensor as .npy or .safetensors"
    )
  }

  /// Longer texts are no numbers or names.
  private static let maximumScalarBytes = 64 << 10
}

/// Collects what the parts of a form say.
private struct FormDocument {
  private let hints: DecodingHints
  private let start: Int
  private var tensors: [(name: String, tensor: Tensor)] = []
  private var parameters: [(name: String, value: JSONValue)] = []
  private var taken: Set<String> = []
  private var otherMetadata: [String] = []

  init(_ hints: DecodingHints, start: Int) {
    self.hints = hints
    self.start = start
  }

  func document() throws(TensorFormatError) -> TensorDocument {
    TensorDocument(
      tensors: try TensorLists.bundle(tensors),
      parameters: JSONObject(distinctMembers: parameters.map { .init(name: $0.name, value: $0.value) }),
      otherMetadata: otherMetadata)
  }

  mutating func add(parameter name: String, _ value: JSONValue) throws(TensorFormatError) {
    try take(name)
    parameters.append((name, value))
  }

  /// The object of the part `parameters`, or one value under the name of another part.
  mutating func addJSON(_ part: MultipartPart) throws(TensorFormatError) {
    guard part.name != MultipartFormat.parametersName else {
      return try add(try read(part, JSONTensorFormat.self, part.content, shift: 0))
    }
    var writer = JSONWriter()
    writer.write(part.name)
    let prefix = [UInt8(ascii: "{")] + writer.bytes + [UInt8(ascii: ":")]
    let text = prefix + part.content + [UInt8(ascii: "}")]
    let document = try read(part, JSONTensorFormat.self, text[...], shift: prefix.count)
    guard document.tensors.names + document.parameters.names == [part.name] else {
      throw TensorFormatError(.malformed, tensor: part.name, "the part is not one JSON value")
    }
    try add(document)
  }

  mutating func addTensors(
    of part: MultipartPart, _ format: any TensorFormat.Type
  ) throws(TensorFormatError) {
    var document = try read(part, format, part.content, shift: 0)
    let names = document.tensors.names
    if names.count == 1, names[0] != part.name, part.name != MultipartFormat.neutralName {
      document.tensors = TensorBundle([part.name: document.tensors[names[0]]].compactMapValues { $0 })
    }
    try add(document)
  }

  private mutating func add(_ document: TensorDocument) throws(TensorFormatError) {
    for name in document.tensors.names {
      switch document.tensors[name] {
      case .one(let tensor):
        try take(name)
        tensors.append((name, tensor))
      case .many(let list):
        for (index, tensor) in list.enumerated() {
          try take("\(name).\(index)")
          tensors.append(("\(name).\(index)", tensor))
        }
      case nil: break
      }
    }
    for member in document.parameters.members { try add(parameter: member.name, member.value) }
    otherMetadata += document.otherMetadata
  }

  private mutating func take(_ name: String) throws(TensorFormatError) {
    guard taken.insert(name).inserted else {
      throw TensorFormatError(
        .invalidContent, tensor: name,
        "'\(name.excerpt)' is given twice in the form; the images of a batch are numbered: NAME.0, NAME.1, ..."
      )
    }
  }

  /// Reads one part's content; errors are placed in the whole body and say which part they are about.
  private func read(
    _ part: MultipartPart, _ format: any TensorFormat.Type, _ content: ArraySlice<UInt8>, shift: Int
  ) throws(TensorFormatError) -> TensorDocument {
    var hints = hints
    hints.tensorName = part.name
    let isOpaque = format.name == NPYFormat.name && NPYFormat.isOpaque(content)
    let declared = parameters.first { $0.name == "tensor_dtype" }?.value.stringValue
    let elementType = hints.elementType ?? declared.flatMap(ElementType.init(named:))
    hints.elementType = isOpaque || format.name == NPZFormat.name ? elementType : nil
    do throws(TensorFormatError) {
      return try format.decode(content, hints)
    } catch {
      var error = error
      let offset = part.content.startIndex - start
      error.byteOffset = error.byteOffset.map { offset + min(max($0 - shift, 0), part.content.count) }
      if error.pointer.isEmpty { error.pointer = JSONPointer.token(part.name) }
      throw error
    }
  }
}
