/// What is wrong with a JSON text, and where.
public struct JSONError: Error, Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// The text is not JSON, or exceeds a limit of this reader.
    case syntax
    /// The text is JSON, but the value is not of the kind or range the reader was asked for.
    case content
    /// Nothing is wrong: whoever asked for the text to be read wants no more of it.
    case interrupted
  }

  public var kind: Kind
  /// Bytes before the offending one, counted from the start of the text.
  public var offset: Int
  /// Where the offending value lies, as a JSON pointer (RFC 6901); empty for the whole document.
  public var pointer: String
  public var message: String

  public init(_ kind: Kind = .syntax, offset: Int, pointer: String = "", _ message: String) {
    self.kind = kind
    self.offset = offset
    self.pointer = pointer
    self.message = message
  }

  /// The same error seen from the member's parent.
  public func inside(_ member: String) -> JSONError {
    JSONError(kind, offset: offset, pointer: JSONPointer.token(member) + pointer, message)
  }

  /// The same error seen from the array that holds the element.
  public func inside(_ element: Int) -> JSONError {
    JSONError(kind, offset: offset, pointer: "/\(element)" + pointer, message)
  }
}

extension JSONError: CustomStringConvertible {
  public var description: String {
    let place = pointer.isEmpty ? "" : " in \(pointer)"
    return "\(message) at byte \(offset)\(place)"
  }
}

/// JSON pointers (RFC 6901) as text.
public enum JSONPointer {
  /// `/name` with `~` and `/` escaped.
  public static func token(_ name: String) -> String {
    var token = "/"
    for character in name.unicodeScalars {
      switch character {
      case "~": token += "~0"
      case "/": token += "~1"
      default: token.unicodeScalars.append(character)
      }
    }
    return token
  }
}
