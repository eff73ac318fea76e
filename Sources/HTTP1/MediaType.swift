/// A media type as in Content-Type: type, subtype and parameters (RFC 9110 section 8.3.1).
public struct MediaType: Sendable, Equatable {
  public struct Parameter: Sendable, Equatable {
    /// In lower case.
    public let name: String
    /// As sent, quotation marks and backslashes removed.
    public let value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// In lower case, like the subtype: both are compared without regard to case.
  public let type: String
  public let subtype: String
  public let parameters: [Parameter]

  /// `type/subtype`, in lower case.
  public var essence: String { "\(type)/\(subtype)" }

  public init(type: String, subtype: String, parameters: [Parameter] = []) {
    self.type = type
    self.subtype = subtype
    self.parameters = parameters
  }

  /// More than any type in use has; parameters are compared with one another.
  static let maximumParameterCount = 16
  static let maximumBytes = 1 << 10

  /// Reads `type/subtype; name=value`; nil for anything else, also for a repeated parameter name, more than
  /// ``maximumParameterCount`` of them, or more than ``maximumBytes``.
  public init?(_ text: String) { self.init(Array(text.utf8)[...]) }

  public init?(_ bytes: ArraySlice<UInt8>) {
    guard bytes.count <= Self.maximumBytes else { return nil }
    var pieces: [ArraySlice<UInt8>] = []
    HeaderFields.splitList(bytes, separator: UInt8(ascii: ";")) { pieces.append($0) }
    let names = pieces[0].split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard names.count == 2, ASCII.isToken(names[0]), ASCII.isToken(names[1]) else { return nil }
    var parameters: [Parameter] = []
    for piece in pieces.dropFirst() where !piece.isEmpty {  // section 5.6.6 allows `type/subtype;`
      guard parameters.count < Self.maximumParameterCount, let parameter = Self.parameter(piece),
        !parameters.contains(where: { $0.name == parameter.name })
      else { return nil }
      parameters.append(parameter)
    }
    self.init(type: Self.lowercased(names[0]), subtype: Self.lowercased(names[1]), parameters: parameters)
  }

  /// The value of a parameter; `name` is in lower case.
  public func parameter(_ name: String) -> String? { parameters.first { $0.name == name }?.value }

  private static func parameter(_ bytes: ArraySlice<UInt8>) -> Parameter? {
    guard let equals = bytes.firstIndex(of: UInt8(ascii: "=")), ASCII.isToken(bytes[..<equals]) else {
      return nil
    }
    let name = lowercased(bytes[..<equals])
    let value = bytes[(equals + 1)...]
    if ASCII.isToken(value) { return Parameter(name, String(decoding: value, as: UTF8.self)) }
    return unquoted(value).map { Parameter(name, String(decoding: $0, as: UTF8.self)) }
  }

  /// The content of a quoted string (RFC 9110 section 5.6.4).
  private static func unquoted(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
    let quote = UInt8(ascii: "\"")
    guard bytes.count >= 2, bytes.first == quote, bytes.last == quote else { return nil }
    var content: [UInt8] = []
    var isEscaped = false
    for byte in bytes.dropFirst().dropLast() {
      guard ASCII.isText(byte), isEscaped || byte != quote else { return nil }
      if !isEscaped, byte == UInt8(ascii: "\\") {
        isEscaped = true
      } else {
        content.append(byte)
        isEscaped = false
      }
    }
    return isEscaped ? nil : content
  }

  private static func lowercased(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes.map { ASCII.lowercase($0) }, as: UTF8.self)
  }
}

extension RequestHead {
  /// The one Content-Type of the request; nil when it is absent, repeated or not a media type.
  public var contentType: MediaType? {
    let values = fields.values("content-type")
    return values.count == 1 ? MediaType(values[0]) : nil
  }

  /// The codings applied to the body, in the order applied and in lower case; `identity` is left out.
  public var contentCodings: [String] {
    fields.list("content-encoding").filter { !ASCII.equalsIgnoringCase($0, "identity".utf8) }
      .map { String(decoding: $0.map { ASCII.lowercase($0) }, as: UTF8.self) }
  }
}
