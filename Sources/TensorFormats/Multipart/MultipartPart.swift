import JSON

/// One part of a form: what its header fields say, and its content as a slice of the body.
struct MultipartPart {
  let name: String
  /// Clients give files a name and plain values none.
  let isFile: Bool
  /// Type and subtype in lower case, where the part states one.
  let mediaType: String?
  let content: ArraySlice<UInt8>

  static let maximumHeaderBytes = 8 << 10
  static let maximumNameBytes = 256

  /// Reads header fields (RFC 7578 section 4.8: of these, only Content-Disposition and Content-Type matter).
  ///
  /// - Parameter offset: of the header in the body, for errors.
  init(
    header: ArraySlice<UInt8>, content: ArraySlice<UInt8>, offset: Int
  ) throws(TensorFormatError) {
    func malformed(_ message: String) -> TensorFormatError {
      TensorFormatError(.malformed, byteOffset: offset, message)
    }
    var fields: [String: String] = [:]
    for line in header.split(separator: 0x0a) {
      guard line.last == 0x0d else { throw malformed("the header lines of a part end with CR LF") }
      let line = line.dropLast()
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
        line[..<colon].allSatisfy(Self.isTokenByte), !line.contains(0), !line.contains(0x0d)
      else { throw malformed("a header line of a part is written 'Name: value'") }
      let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
      guard let value = String(validating: line[(colon + 1)...], as: UTF8.self),
        StreamSafeText.accepts(value)
      else {
        throw malformed("the header of a part is not plain text in UTF-8")
      }
      guard fields.updateValue(value, forKey: name) == nil else {
        throw malformed("a part has two fields \(name)")
      }
    }
    guard let text = fields["content-disposition"], let disposition = ContentDisposition(text),
      disposition.type == "form-data", let name = disposition.parameters["name"]
    else {
      throw malformed(
        "every part of a form has the field Content-Disposition: form-data; name=\"NAME\" (RFC 7578 section 4.2)"
      )
    }
    guard !name.isEmpty, name.utf8.count <= Self.maximumNameBytes else {
      throw malformed("the name of a part has 1 to \(Self.maximumNameBytes) bytes")
    }
    for coding in ["content-transfer-encoding", "content-encoding"] {
      let value = TensorFormats.essence(of: fields[coding] ?? "binary")
      guard ["binary", "8bit", "7bit", "identity"].contains(value) else {
        throw TensorFormatError(
          .unsupported, tensor: name,
          "the part is encoded ('\(coding)'), which HTTP forms do not allow (RFC 7578 section 4.7); send its raw bytes"
        )
      }
    }
    self.name = name
    self.isFile = disposition.parameters["filename"] != nil || disposition.parameters["filename*"] != nil
    self.mediaType = fields["content-type"].map(TensorFormats.essence(of:))
    self.content = content
  }

  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}

/// `form-data; name="a"; filename="b.npy"`.
struct ContentDisposition {
  /// In lower case.
  let type: String
  /// By their names in lower case.
  let parameters: [String: String]

  /// - Returns: nil for what is not written so, and for a parameter given twice.
  init?(_ text: String) {
    var scalars = Array(text.unicodeScalars)[...]
    func skipSpace() { scalars = scalars.drop { $0 == " " || $0 == "\t" } }
    func word(until ends: Set<Unicode.Scalar>) -> String {
      let word = scalars.prefix { !ends.contains($0) }
      scalars = scalars.dropFirst(word.count)
      var text = String.UnicodeScalarView()
      text.append(contentsOf: word)
      return String(text)
    }
    skipSpace()
    let type = word(until: [";", " ", "\t"]).lowercased()
    var parameters: [String: String] = [:]
    skipSpace()
    while let separator = scalars.first {
      guard separator == ";" else { return nil }
      scalars.removeFirst()
      skipSpace()
      if scalars.isEmpty { break }
      let name = word(until: ["=", ";", " ", "\t"]).lowercased()
      guard !name.isEmpty, scalars.first == "=" else { return nil }
      scalars.removeFirst()
      let value: String
      if scalars.first == "\"" {
        guard let quoted = Self.quoted(&scalars) else { return nil }
        value = quoted
      } else {
        value = word(until: [";", " ", "\t"])
      }
      guard parameters.updateValue(value, forKey: name) == nil else { return nil }
      skipSpace()
    }
    self.type = type
    self.parameters = parameters
  }

  /// A backslash escapes a quotation mark and itself only: some clients write paths of Windows as they are.
  private static func quoted(_ scalars: inout ArraySlice<Unicode.Scalar>) -> String? {
    scalars.removeFirst()
    var text = String.UnicodeScalarView()
    while let scalar = scalars.popFirst() {
      switch scalar {
      case "\"": return String(text)
      case "\\" where scalars.first == "\"" || scalars.first == "\\":
        scalars.popFirst().map { text.append($0) }
      default: text.append(scalar)
      }
    }
    return nil
  }
}
