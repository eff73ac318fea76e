import JSON
import Tensors

/// An inference request of the Open Inference Protocol: JSON, with the tensors' bytes behind it where the binary tensor
/// data extension is used (KServe, open-inference-protocol, specification/protocol/inference_rest.md; Triton,
/// docs/protocol/extension_binary_data.md).
///
/// FP16 and BF16 are read from JSON numbers too, rounded to the nearest. An input of one element that has the name of a
/// parameter is that parameter; texts of other inputs have no meaning here. Tensors of binary data are slices of the body.
public struct InferenceRequest: Sendable, Equatable {
  public struct Output: Sendable, Equatable {
    public let name: String
    /// Nil leaves it to the whole request.
    public private(set) var isBinary: Bool?
    /// Where to write it instead.
    public private(set) var region: InferenceRegion?
  }

  /// To be repeated in the response.
  public var id: String?
  public var document: TensorDocument
  /// Nil wants all outputs.
  public var outputs: [Output]?
  /// Whether outputs that do not say otherwise come as binary data.
  public var wantsBinaryData: Bool
  /// How long the client would wait, in microseconds.
  public var timeout: Int?

  public init(
    id: String? = nil, document: TensorDocument, outputs: [Output]? = nil, wantsBinaryData: Bool = false,
    timeout: Int? = nil
  ) {
    self.id = id
    self.document = document
    self.outputs = outputs
    self.wantsBinaryData = wantsBinaryData
    self.timeout = timeout
  }

  /// The most inputs, and the most outputs, of one request.
  static let maximumTensors = 4096
  /// An id is echoed in the response.
  static let maximumIDBytes = 1024

  /// The most memory that reading a body takes beside it.
  public static func decodingBytes(
    of body: ArraySlice<UInt8>, jsonByteCount: Int?, _ hints: DecodingHints
  ) -> Int {
    json(body, jsonByteCount).map { JSONTensorFormat.decodingBytes(of: $0, hints) } ?? 0
  }

  fileprivate static func json(_ body: ArraySlice<UInt8>, _ count: Int?) -> ArraySlice<UInt8>? {
    guard let count else { return body }
    return count > 0 && count <= body.count ? body.prefix(count) : nil
  }
}

/// An inference request whose JSON was read, and whose tensors were not: what lies in shared memory comes first.
public struct InferenceBody: Sendable {
  private let reader: InferenceRequestReader
  private let binary: ArraySlice<UInt8>

  /// - Parameters:
  ///   - jsonByteCount: the value of `Inference-Header-Content-Length`; nil says that all of the body is JSON.
  ///   - isInterrupted: once true, the body is read no further.
  public init(
    _ body: ArraySlice<UInt8>, jsonByteCount: Int?, isInterrupted: Interruption? = nil
  ) throws(TensorFormatError) {
    guard let text = InferenceRequest.json(body, jsonByteCount) else {
      throw TensorFormatError(
        .malformed,
        "Inference-Header-Content-Length is the length of the JSON in front of the tensors, 1 to the body's \(body.count) bytes"
      )
    }
    do throws(JSONError) {
      var reader = InferenceRequestReader(text, isInterrupted)
      try reader.read()
      self.reader = reader
    } catch {
      throw TensorFormatError(error)
    }
    binary = body[text.endIndex...]
  }

  /// Where inputs lie in shared memory, in their order.
  public var regions: [InferenceRegion] { reader.regions }

  /// The whole request.
  ///
  /// - Precondition: `shared` is the content of each of ``regions``, as long as that says.
  public func request(
    shared: [[UInt8]], _ hints: DecodingHints
  ) throws(TensorFormatError) -> InferenceRequest {
    precondition(shared.map(\.count) == regions.map(\.byteCount), "the content of every region")
    do throws(JSONError) {
      return try reader.request(binary: binary, shared: shared, hints)
    } catch {
      throw TensorFormatError(error)
    }
  }
}
