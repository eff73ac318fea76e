import JSON

/// Indented JSON with a final newline.
func prettyText(of value: JSONValue) -> String {
  String(decoding: value.serialized(prettyPrinted: true), as: UTF8.self) + "\n"
}
