public import JSON

/// Parameters written as text: in a query string, or in the metadata of a safetensors file.
public enum ParameterText {
  /// `64`, `0.5`, `true`, `[..]` and `{..}` mean what they mean in JSON, Python's `True`, `False` and `None` what they
  /// mean there; all else is a string.
  public static func value(of text: String) -> JSONValue {
    switch text {
    case "True": .bool(true)
    case "False": .bool(false)
    case "None": .null
    default: (try? JSONValue.parse(Array(text.utf8)[...])) ?? .string(text)
    }
  }
}
