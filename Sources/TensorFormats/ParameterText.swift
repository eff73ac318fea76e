public import JSON
import Tensors

/// Parameters written as text: in a query string, or in the metadata of a safetensors file.
public enum ParameterText {
  /// `64`, `0.5`, `true`, `[..]` and `{..}` mean what they mean in JSON, Python's `True`, `False` and `None` what they
  /// mean there; all else is a string.
  ///
  /// - Parameter isInterrupted: once true, the text is read no further, and the value is the text.
  public static func value(of text: String, _ isInterrupted: Interruption? = nil) -> JSONValue {
    switch text {
    case "true", "True": .bool(true)
    case "false", "False": .bool(false)
    case "null", "None": .null
    // No other word is JSON, and what is wrong with it need not be found out.
    case _ where text.utf8.allSatisfy(isLetter): .string(text)
    default: (try? JSONValue.parse(Array(text.utf8)[...], isInterrupted: isInterrupted)) ?? .string(text)
    }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }
}

/// What the texts of one request may hold together: those of real requests hold a few hundred values.
struct ParameterTextBudget {
  static let maximumBytes = 1 << 20
  static let maximumValueCount = 1 << 14

  struct Excess: Error {
    let message: String
  }

  private var bytesLeft = maximumBytes
  private var valuesLeft = maximumValueCount

  /// The most memory that so much text takes: its characters, and values of some hundred bytes.
  static func memory(ofTexts byteCount: Int) -> Int {
    8 * byteCount + 160 * min(byteCount, maximumValueCount)
  }

  /// What a text says, out of what all texts share.
  mutating func value(of text: String) throws(Excess) -> JSONValue {
    bytesLeft -= text.utf8.count
    guard bytesLeft >= 0 else {
      throw Excess(message: "the texts of one request have at most \(Self.maximumBytes) bytes")
    }
    // In front of every value but the first stands one of these.
    valuesLeft -=
      1 + text.utf8.count { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: ":") }
    guard valuesLeft >= 0 else {
      throw Excess(message: "the texts of one request are read as at most \(Self.maximumValueCount) values")
    }
    return ParameterText.value(of: text)
  }
}

extension Tensor {
  /// The value of a parameter that is written as a tensor of one element; nil for any other count.
  var parameterValue: JSONValue? {
    guard elementCount == 1 else { return nil }
    if elementType == .bool { return .bool(doubles()[0] != 0) }
    if let integer = integers()?.first { return .integer(integer) }
    guard elementType == .uint64 else { return .number(doubles()[0]) }
    return .unsigned(bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) })
  }
}
