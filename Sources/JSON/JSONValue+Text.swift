extension JSONValue {
  /// The value a JSON text denotes; the text must hold nothing else.
  ///
  /// - Throws: ``JSONError`` with the byte offset counted from the start of `bytes`.
  public static func parse(
    _ bytes: ArraySlice<UInt8>, maximumValueCount: Int = JSONScanner.defaultMaximumValueCount,
    isInterrupted: (@Sendable () -> Bool)? = nil
  ) throws(JSONError) -> JSONValue {
    var scanner = JSONScanner(bytes)
    var budget = JSONScanner.Budget(values: maximumValueCount, isInterrupted: isInterrupted)
    let value = try scanner.readValue(budget: &budget)
    try scanner.finish()
    return value
  }

  /// The value as UTF-8 text: on one line, or with two spaces per level.
  ///
  /// NaN and infinities are written as null.
  public func serialized(prettyPrinted: Bool = false) -> [UInt8] {
    var writer = JSONWriter(prettyPrinted: prettyPrinted)
    writer.write(self)
    return writer.bytes
  }
}

extension JSONValue: CustomStringConvertible {
  public var description: String { String(decoding: serialized(), as: UTF8.self) }
}
