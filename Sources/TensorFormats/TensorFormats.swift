public import JSON
public import Tensors

/// What a request body says: tensors by name and the parameters beside them.
public struct TensorDocument: Sendable, Equatable {
  public var tensors: TensorBundle
  public var parameters: JSONObject
  /// Names of metadata that are no parameters; they describe the file.
  public var otherMetadata: [String]

  public init(
    tensors: TensorBundle = TensorBundle(), parameters: JSONObject = JSONObject(),
    otherMetadata: [String] = []
  ) {
    self.tensors = tensors
    self.parameters = parameters
    self.otherMetadata = otherMetadata
  }
}

/// What a body cannot say by itself and its reader must be told.
public struct DecodingHints: Sendable {
  /// Members of a JSON body that are parameters even where their value looks like a tensor.
  public var parameterNames: Set<String>
  /// The name of the tensor in a format that carries one nameless tensor (npy).
  public var tensorName: String
  /// The element type of a body that cannot express it: npy writes bfloat16 as two opaque bytes.
  public var elementType: ElementType?
  /// What separates the parts of a form: the parameter `boundary` of Content-Type.
  public var boundary: String?
  /// How the entries of an archive are decompressed and checked; without it, archives are rejected.
  public var zipCoding: ZipCoding?
  /// The most bytes that the content of an archive may have.
  public var maximumDecodedBytes: Int
  /// Asked between parts of a body, and every few thousand elements where these are read one by one: once true, the body
  /// is read no further.
  public var isInterrupted: Interruption?

  public init(
    parameterNames: Set<String> = [], tensorName: String = "image_features", elementType: ElementType? = nil,
    boundary: String? = nil, zipCoding: ZipCoding? = nil, maximumDecodedBytes: Int = .max,
    isInterrupted: Interruption? = nil
  ) {
    self.parameterNames = parameterNames
    self.tensorName = tensorName
    self.elementType = elementType
    self.boundary = boundary
    self.zipCoding = zipCoding
    self.maximumDecodedBytes = maximumDecodedBytes
    self.isInterrupted = isInterrupted
  }
}

/// Whether to give up what is being read or written.
public typealias Interruption = @Sendable () -> Bool

extension DecodingHints {
  func checkInterruption() throws(TensorFormatError) {
    if isInterrupted?() == true { throw TensorFormatError(.interrupted, "") }
  }
}

extension Interruption? {
  /// Between parts of an answer.
  func check() throws(TensorFormatError) {
    if self?() == true { throw TensorFormatError(.interrupted, "") }
  }
}

extension JSONScanner {
  func check(_ isInterrupted: Interruption?) throws(JSONError) {
    if isInterrupted?() == true { throw JSONError(.interrupted, offset: offset, "") }
  }
}

/// A wire format for named tensors, as requests use it.
public protocol TensorFormat: Sendable {
  /// The name in messages and metrics.
  static var name: String { get }
  /// Media types in lower case, the preferred one first.
  static var mediaTypes: [String] { get }
  /// Whether a body that starts with `prefix` (16 bytes suffice) is written in this format.
  static func matches(_ prefix: ArraySlice<UInt8>) -> Bool
  /// Reads a whole body. Whatever the bytes are, it returns or throws.
  static func decode(
    _ body: ArraySlice<UInt8>, _ hints: DecodingHints
  ) throws(TensorFormatError) -> TensorDocument
  /// The most memory that ``decode(_:_:)`` takes beside the body.
  static func decodingBytes(of body: ArraySlice<UInt8>, _ hints: DecodingHints) -> Int
}

/// A format that answers can take as well.
public protocol AnswerFormat: TensorFormat {
  /// Writes an answer: tensors by name, the rest as a JSON object.
  ///
  /// - Parameter isInterrupted: asked between images, tensors and every few thousand numbers; once true, `.interrupted` is
  ///   thrown.
  static func encode(
    _ tensors: [(name: String, tensor: Tensor)], response: JSONObject, isInterrupted: Interruption?
  ) throws(TensorFormatError) -> [UInt8]
}

extension AnswerFormat {
  /// The same, however long it takes.
  public static func encode(
    _ tensors: [(name: String, tensor: Tensor)], response: JSONObject
  ) throws(TensorFormatError) -> [UInt8] {
    try encode(tensors, response: response, isInterrupted: nil)
  }
}

/// The formats this service speaks, and the ones it rejects by name.
public enum TensorFormats {
  public static let all: [any TensorFormat.Type] = [
    JSONTensorFormat.self, SafetensorsFormat.self, NPYFormat.self, NPZFormat.self, MultipartFormat.self,
  ]

  /// Those that an answer can take, in the same order.
  public static let answers: [any AnswerFormat.Type] = all.compactMap { $0 as? any AnswerFormat.Type }

  // A form needs its boundary, which stands in Content-Type, so its first bytes alone do not suffice.
  // Only safetensors has zero bytes in front of a '{' and only npy starts with 0x93, so these two come before
  // JSON, whose leading white space may equal the low bytes of a safetensors header length.
  static let sniffingOrder: [any TensorFormat.Type] = [
    SafetensorsFormat.self, NPYFormat.self, NPZFormat.self, JSONTensorFormat.self,
  ]

  /// The format of a Content-Type or Accept value; parameters such as `; charset` are ignored.
  public static func named(mediaType: String) -> (any TensorFormat.Type)? {
    // Written as it is listed, as most are, it needs no other spelling.
    if let format = all.first(where: { $0.mediaTypes.contains(mediaType) }) { return format }
    let essence = essence(of: mediaType)
    return all.first { $0.mediaTypes.contains(essence) }
  }

  /// The format of a body, judged by its first bytes (16 suffice).
  public static func sniff(_ prefix: ArraySlice<UInt8>) -> (any TensorFormat.Type)? {
    sniffingOrder.first { $0.matches(prefix) }
  }

  static let alternatives =
    "send application/json, application/x-safetensors, application/x-npy or application/x-npz"

  static func essence(of mediaType: String) -> String {
    let bytes = mediaType.utf8.prefix { $0 != UInt8(ascii: ";") }
      .filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }
    return String(decoding: bytes, as: UTF8.self).lowercased()
  }
}
