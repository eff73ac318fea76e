/// The request line and header fields of one request.
///
/// A reference to what never changes: copies cost a retain or two, however long the head is.
public struct RequestHead: Sendable {
  private final class Content: Sendable {
    let method: String
    let target: String
    let path: String
    let query: String?
    let version: HTTPVersion
    let fields: HeaderFields

    init(
      method: String, target: String, path: String, query: String?, version: HTTPVersion,
      fields: HeaderFields
    ) {
      self.method = method
      self.target = target
      self.path = path
      self.query = query
      self.version = version
      self.fields = fields
    }
  }

  private let content: Content
  /// The field section of this message, where it came after another one of the same form; else empty.
  private var ownSection: [UInt8] = []

  /// What ``Responder/resolve(_:framing:)`` made of this head; it comes back with all that concerns the request.
  public var resolution: (any AnyObject & Sendable)?

  public var method: String { content.method }
  /// As received: origin-form, absolute-form, authority-form or `*`.
  public var target: String { content.target }
  /// The target's path, percent-encoding untouched; `*` for `OPTIONS *`.
  public var path: String { content.path }
  /// Behind the first `?`, without it; nil when there is none.
  public var query: String? { content.query }
  public var version: HTTPVersion { content.version }
  public var fields: HeaderFields {
    ownSection.isEmpty ? content.fields : content.fields.inSection(ownSection)
  }

  /// About what the head takes in memory, beside its ``resolution``.
  public var heldBytes: Int {
    // The target is there in whole and in parts.
    256 + 2 * content.target.utf8.count + content.fields.heldBytes + ownSection.count
  }

  public init(
    method: String, target: String, path: String, query: String?, version: HTTPVersion, fields: HeaderFields
  ) {
    content = Content(
      method: method, target: target, path: path, query: query, version: version, fields: fields)
  }
}

extension RequestHead {
  /// Takes the values at `places` of a field section that says the same everywhere else.
  ///
  /// In memory of its own, which is used again as long as nobody else holds a copy of this head.
  mutating func takeValues(_ places: [Range<Int>], of section: RawSpan) {
    if ownSection.isEmpty { ownSection = content.fields.section }
    ownSection.withUnsafeMutableBytes { target in
      for place in places {
        section.extracting(place).withUnsafeBytes { source in
          UnsafeMutableRawBufferPointer(rebasing: target[place]).copyMemory(from: source)
        }
      }
    }
  }
}

extension RequestHead: Equatable {
  /// Equal when the messages say the same, whatever was made of them.
  public static func == (a: RequestHead, b: RequestHead) -> Bool {
    a.content === b.content && a.ownSection == b.ownSection
      || a.method == b.method && a.target == b.target && a.path == b.path && a.query == b.query
        && a.version == b.version && a.fields == b.fields
  }
}

public enum HTTPVersion: Sendable, Equatable {
  case http10
  case http11
}
