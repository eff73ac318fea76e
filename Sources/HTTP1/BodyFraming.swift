/// How a request's body is delimited (RFC 9112 section 6).
public enum BodyFraming: Sendable, Equatable {
  case none
  case length(Int)
  case chunked
  /// Nothing follows the head; the body lies in memory that the client shares.
  case shared(SharedMemoryReference)

  /// The bytes of the body, where the head says so.
  public var length: Int? {
    switch self {
    case .length(let count): count
    case .shared(let reference): reference.length
    case .none, .chunked: nil
    }
  }

  /// Whether bytes of the body follow the head.
  public var isOnTheWire: Bool {
    switch self {
    case .length, .chunked: true
    case .none, .shared: false
    }
  }
}

extension BodyFraming {
  /// Decides where the body ends; every rule against request smuggling stands here.
  ///
  /// - Throws: 400 when two readers could disagree about the length, 501 for an unknown transfer coding.
  public init(of head: RequestHead) throws(FramingError) {
    if head.fields.contains(SharedMemoryReference.fieldName) {
      self = .shared(try Self.reference(head.fields))
      return
    }
    let hasLength = head.fields.contains("content-length")
    guard head.fields.contains("transfer-encoding") else {
      self = hasLength ? .length(try Self.contentLength(head.fields)) : .none  // section 6.3, rules 5 and 7
      return
    }
    // Section 6.1: HTTP/1.0 has no Transfer-Encoding; whoever forwarded it may have ignored it.
    guard head.version == .http11 else {
      throw FramingError("an HTTP/1.0 request must not have Transfer-Encoding")
    }
    // Section 6.3, rule 3: Transfer-Encoding would override, but such a message is most likely an attack.
    guard !hasLength else {
      throw FramingError("a request must not have both Content-Length and Transfer-Encoding")
    }
    try Self.checkTransferEncoding(head.fields)
    self = .chunked
  }

  /// A body is in one place only: a reader that does not know the field must find none behind the head.
  private static func reference(_ fields: HeaderFields) throws(FramingError) -> SharedMemoryReference {
    guard let value = fields.single(SharedMemoryReference.fieldName) else {
      throw FramingError("Crop-Shared-Memory must appear only once")
    }
    guard !fields.contains("transfer-encoding"), try contentLength(fields) == 0 else {
      throw FramingError("a request with Crop-Shared-Memory must have no other body; send Content-Length: 0")
    }
    return try SharedMemoryReference(value)
  }

  private static func contentLength(_ fields: HeaderFields) throws(FramingError) -> Int {
    var length: Int?
    try fields.forEachValue("content-length") { (value) throws(FramingError) in
      // Section 6.3, rule 5: repeated or listed values may be folded when equal, or rejected; rejecting leaves no
      // room for two readers to differ.
      guard length == nil else { throw FramingError("Content-Length must appear only once") }
      // RFC 9110 section 8.6: 1*DIGIT, without sign or separator, and no overflow.
      guard let number = ASCII.number(value) else {
        throw FramingError("Content-Length must be a decimal number of at most \(Int.max)")
      }
      length = number
    }
    return length ?? 0
  }

  private static func checkTransferEncoding(_ fields: HeaderFields) throws(FramingError) {
    var codings: [ArraySlice<UInt8>] = []
    fields.forEachValue("transfer-encoding") { value in
      HeaderFields.splitList(value) { codings.append($0) }
    }
    let chunked = "chunked".utf8
    // Section 6.3, rule 4: unless chunked comes last, the length cannot be known. Empty members and parameters of
    // chunked are rejected too (section 7.1): readers differ on them.
    guard let last = codings.last, ASCII.equalsIgnoringCase(last, chunked),
      codings.allSatisfy({ !$0.isEmpty })
    else {
      throw FramingError("Transfer-Encoding must be chunked")
    }
    guard codings.count > 1 else { return }
    // Section 6.1: chunked must not be applied twice.
    guard !codings.dropLast().contains(where: { ASCII.equalsIgnoringCase($0, chunked) }) else {
      throw FramingError("Transfer-Encoding must name chunked only once")
    }
    // Section 6.1: 501 for codings that are not understood; compress a body with Content-Encoding instead.
    throw FramingError(501, "no transfer coding except chunked is supported; use Content-Encoding")
  }
}
