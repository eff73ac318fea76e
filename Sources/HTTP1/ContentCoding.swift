/// A way to compress a body that both sides know by name (RFC 9110 section 8.4.1).
public enum ContentCoding: String, Sendable, CaseIterable {
  /// RFC 1952: deflate with a checksum of 32 bits and the length.
  case gzip
  /// RFC 1950, the zlib format: deflate with a header of two bytes and a checksum. Never deflate alone.
  case deflate

  /// Reads a coding's name in any case; `x-gzip` is the same as `gzip` (section 8.4.1.3).
  public init?(_ name: some Collection<UInt8>) {
    if ASCII.equalsIgnoringCase(name, "gzip".utf8) || ASCII.equalsIgnoringCase(name, "x-gzip".utf8) {
      self = .gzip
    } else if ASCII.equalsIgnoringCase(name, "deflate".utf8) {
      self = .deflate
    } else {
      return nil
    }
  }

  /// All names as the value of an Accept-Encoding field.
  public static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}

/// A Content-Encoding that is not undone here.
public struct UnsupportedContentCoding: Error, Sendable, Equatable {
  /// The codings in the order applied and in lower case: `br`, or `deflate, gzip`.
  public let name: String

  public init(name: String) { self.name = name }
}

/// Why a coded body cannot be turned back into what it was.
public enum ContentCodingError: Error, Sendable, Equatable {
  /// The bytes are not what the coding's format says; the text tells how.
  case corrupt(String)
  /// The body ended before the coded stream did.
  case truncated
  /// There is something behind the end of the coded stream.
  case trailingBytes
  /// The decoded body is larger than `limit` bytes.
  case tooLarge(limit: Int)
  /// The decoded body is more than `limit` times as large as the coded one.
  case outOfProportion(limit: Int)
  /// The coded body is more than twice as large as the decoded one.
  case empty

  public var status: Int {
    switch self {
    case .tooLarge, .outOfProportion, .empty: 413
    case .corrupt, .truncated, .trailingBytes: 400
    }
  }

  /// What is wrong, for the person who sent it.
  public var reason: String {
    switch self {
    case .corrupt(let reason): reason
    case .truncated: "the coded body ends before its stream is complete"
    case .trailingBytes: "there are bytes after the end of the coded stream"
    case .tooLarge(let limit): "the decoded body is larger than \(limit) bytes"
    case .outOfProportion(let limit):
      "the decoded body is more than \(limit) times as large as the coded one; send it uncompressed"
    case .empty: "the coded body is more than twice as large as the decoded one; send it uncompressed"
    }
  }
}

extension RequestHead {
  /// The coding to undo before the body is read, nil when it is as it is.
  ///
  /// - Throws: for an unknown coding, and for several: nobody compresses twice in earnest, and each layer would
  ///   multiply what few bytes can become.
  public func contentCoding() throws(UnsupportedContentCoding) -> ContentCoding? {
    guard fields.contains("content-encoding") else { return nil }
    let codings = contentCodings
    guard let name = codings.first else { return nil }
    guard codings.count == 1, let coding = ContentCoding(name.utf8) else {
      throw UnsupportedContentCoding(name: codings.joined(separator: ", "))
    }
    return coding
  }

  /// The coding that an answer may be sent with (RFC 9110 section 12.5.3) and that is liked at least as much as the plain
  /// answer, nil where there is none. Of two that are liked as much it is gzip.
  ///
  /// Without Accept-Encoding nothing is said against any, but who can decode says so: the answer is nil. A `*` means gzip,
  /// since some who accept anything take deflate for what has no header (section 8.4.1.2).
  public var preferredCoding: ContentCoding? {
    guard fields.contains("accept-encoding") else { return nil }
    var gzip: Int?
    var deflate = 0
    var plain = 0
    var any = 0
    for member in fields.list("accept-encoding") {
      guard let (name, quality) = Quality.split(member) else { continue }
      // Named twice, the larger wish counts.
      switch ContentCoding(name) {
      case .gzip: gzip = max(gzip ?? 0, quality)
      case .deflate: deflate = max(deflate, quality)
      case nil where ASCII.equalsIgnoringCase(name, "identity".utf8): plain = max(plain, quality)
      case nil where name.elementsEqual("*".utf8): any = max(any, quality)
      case nil: break
      }
    }
    let (coding, wanted) =
      deflate > gzip ?? any ? (ContentCoding.deflate, deflate) : (ContentCoding.gzip, gzip ?? any)
    // An identity that is not named is acceptable, at no stated preference.
    return wanted > 0 && wanted >= plain ? coding : nil
  }
}

extension Quality {
  /// Splits `gzip;q=0.5` into name and thousandths; nil when it is neither that nor a name alone.
  static func split(_ member: ArraySlice<UInt8>) -> (name: ArraySlice<UInt8>, quality: Int)? {
    guard let semicolon = member.firstIndex(of: UInt8(ascii: ";")) else {
      return ASCII.isToken(member) ? (member, 1000) : nil
    }
    let name = ASCII.trimmed(member[..<semicolon])
    let weight = ASCII.trimmed(member[(semicolon + 1)...])
    guard ASCII.isToken(name), weight.count > 2,
      ASCII.equalsIgnoringCase(weight.prefix(2), "q=".utf8), let quality = thousandths(weight.dropFirst(2))
    else { return nil }
    return (name, quality)
  }
}
