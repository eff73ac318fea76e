/// Writes JSON text front to back, placing commas, colons and indentation by itself.
///
/// Numbers are the shortest decimals that read back as the same value: a `Float` as a 32-bit one.
public struct JSONWriter: Sendable {
  public private(set) var bytes: [UInt8]
  private let prettyPrinted: Bool
  private var depth = 0
  private var needsComma = false
  private var followsName = false

  /// - Parameter bytes: text to append to.
  public init(appendingTo bytes: [UInt8] = [], prettyPrinted: Bool = false) {
    self.bytes = bytes
    self.prettyPrinted = prettyPrinted
  }

  public mutating func beginObject() { open(UInt8(ascii: "{")) }
  public mutating func endObject() { close(UInt8(ascii: "}")) }
  public mutating func beginArray() { open(UInt8(ascii: "[")) }
  public mutating func endArray() { close(UInt8(ascii: "]")) }

  /// The name of the member whose value is written next.
  public mutating func name(_ name: String) {
    separate()
    appendString(name)
    bytes.append(UInt8(ascii: ":"))
    if prettyPrinted { bytes.append(0x20) }
    followsName = true
  }

  // MARK: Values

  public mutating func write(_ value: JSONValue) {
    switch value {
    case .null: writeText("null")
    case .bool(let value): write(value)
    case .integer(let value): write(value)
    case .number(let value): write(value)
    case .string(let value): write(value)
    case .array(let elements):
      beginArray()
      for element in elements { write(element) }
      endArray()
    case .object(let object): write(object)
    }
  }

  public mutating func write(_ object: JSONObject) {
    beginObject()
    for member in object.members {
      name(member.name)
      write(member.value)
    }
    endObject()
  }

  public mutating func write(_ value: String) {
    separate()
    appendString(value)
    needsComma = true
  }

  public mutating func write(_ value: Bool) { writeText(value ? "true" : "false") }

  public mutating func write(_ value: some BinaryInteger) { writeText(String(value)) }

  // JSON has no NaN and no infinity: they are written as null, as ECMAScript does. A trap here would let a
  // number that overflowed somewhere end the whole server.

  public mutating func write(_ value: Double) { writeText(Self.text(of: value)) }

  public mutating func write(_ value: Float) { writeText(Self.text(of: value)) }

  private static func text(of value: some BinaryFloatingPoint & CustomStringConvertible) -> String {
    value.isFinite ? value.description : "null"
  }

  // Arrays of numbers stay on one line: a line per element would make a tensor unreadable.

  public mutating func write(_ values: some Sequence<Int>) {
    writeLine(values) { String($0) }
  }

  public mutating func write(_ values: some Sequence<Float>) { writeLine(values, Self.text(of:)) }

  public mutating func write(_ values: some Sequence<Double>) { writeLine(values, Self.text(of:)) }

  @inline(__always)
  private mutating func writeLine<Element>(
    _ values: some Sequence<Element>, _ text: (Element) -> String
  ) {
    separate()
    bytes.append(UInt8(ascii: "["))
    var isFirst = true
    for value in values {
      if !isFirst { bytes.append(UInt8(ascii: ",")) }
      isFirst = false
      bytes.append(contentsOf: text(value).utf8)
    }
    bytes.append(UInt8(ascii: "]"))
    needsComma = true
  }

  // MARK: Text

  private mutating func open(_ bracket: UInt8) {
    separate()
    bytes.append(bracket)
    depth += 1
    needsComma = false
  }

  private mutating func close(_ bracket: UInt8) {
    depth -= 1
    // Without a comma pending the brackets are empty and stay together.
    if needsComma { breakLine() }
    bytes.append(bracket)
    needsComma = true
  }

  /// Writes what stands between the last value and the next one.
  private mutating func separate() {
    if followsName {
      followsName = false
    } else {
      if needsComma { bytes.append(UInt8(ascii: ",")) }
      if depth > 0 { breakLine() }
    }
    needsComma = false
  }

  private mutating func breakLine() {
    guard prettyPrinted else { return }
    bytes.append(0x0a)
    bytes.append(contentsOf: repeatElement(0x20, count: 2 * depth))
  }

  private mutating func writeText(_ text: String) {
    separate()
    bytes.append(contentsOf: text.utf8)
    needsComma = true
  }

  private mutating func appendString(_ text: String) {
    let digits = Array("0123456789abcdef".utf8)
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0x0a: bytes.append(contentsOf: "\\n".utf8)
      case 0x0d: bytes.append(contentsOf: "\\r".utf8)
      case 0x09: bytes.append(contentsOf: "\\t".utf8)
      case 0..<0x20:
        bytes.append(contentsOf: "\\u00".utf8)
        bytes.append(digits[Int(byte >> 4)])
        bytes.append(digits[Int(byte & 15)])
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
