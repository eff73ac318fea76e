/// One node of a YAML document, and the line that it begins in, counted from 1.
public struct YAMLNode: Sendable, Equatable {
  public indirect enum Content: Sendable, Equatable {
    /// Text as it stands there; what it means is the reader's business.
    ///
    /// - Parameter isPlain: without quotation marks, so that `null` and `~` may stand for nothing.
    case scalar(String, isPlain: Bool)
    /// In the order of the document; no key is there twice.
    case mapping([Entry])
    case sequence([YAMLNode])
  }

  public struct Entry: Sendable, Equatable {
    public let key: YAMLNode
    public let value: YAMLNode
  }

  public let content: Content
  public let line: Int

  public init(_ content: Content, line: Int) {
    self.content = content
    self.line = line
  }

  /// The text of a scalar; nil for anything else.
  public var text: String? { if case .scalar(let text, _) = content { text } else { nil } }

  public var entries: [Entry]? { if case .mapping(let entries) = content { entries } else { nil } }

  /// Whether it is YAML's null (1.2, section 10.3.2): nothing, `~` or `null` without quotation marks.
  public var isNull: Bool {
    guard case .scalar(let text, isPlain: true) = content else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(text)
  }

  static func null(line: Int) -> YAMLNode { YAMLNode(.scalar("", isPlain: true), line: line) }
}

/// What is not YAML, or not read here.
public struct YAMLError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Counted from 1.
  public let line: Int
  public let reason: String

  public var description: String { "line \(line): \(reason)" }
}
