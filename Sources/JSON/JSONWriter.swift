/// Writes JSON text front to back, placing commas, colons and indentation by itself.
///
/// Numbers are the shortest decimals that read back as the same value: a `Float` as a 32-bit one.
public struct JSONWriter: Sendable {
  public internal(set) var bytes: [UInt8]
  private let prettyPrinted: Bool
  private var depth = 0
  var needsComma = false
  private var followsName = false

  /// - Parameter bytes: text to append to.
  public init(appendingTo bytes: consuming [UInt8] = [], prettyPrinted: Bool = false) {
    self.bytes = bytes
    self.prettyPrinted = prettyPrinted
  }

  /// Hands the text over, of which the receiver is then the only owner.
  public mutating func takeBytes() -> [UInt8] {
    var taken: [UInt8] = []
    swap(&taken, &bytes)
    return taken
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
    case .unsigned(let value): write(value)
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
    writeMembers(of: object)
    endObject()
  }

  /// Writes the members of an object into one that is open.
  public mutating func writeMembers(of object: JSONObject) {
    for member in object.members {
      name(member.name)
      write(member.value)
    }
  }

  /// Writes members as ``JSONObject/compactMembers`` has them.
  ///
  /// - Precondition: inside an object, and nothing is indented.
  public mutating func writeMembers(_ text: [UInt8]) {
    precondition(!prettyPrinted && !followsName, "members on one line, in the place of a member")
    guard !text.isEmpty else { return }
    separate()
    bytes.append(contentsOf: text)
    needsComma = true
  }

  public mutating func write(_ value: String) {
    separate()
    appendString(value)
    needsComma = true
  }

  public mutating func write(_ value: Bool) { writeText(value ? "true" : "false") }

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
  mutating func separate() {
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
    bytes.append(UInt8(ascii: "\""))
    let isPlain = text.utf8.withContiguousStorageIfAvailable { utf8 in
      guard Self.isPlain(utf8) else { return false }
      bytes.append(contentsOf: utf8)
      return true
    }
    if isPlain != true {
      for byte in text.utf8 { appendEscaped(byte) }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  /// Whether a text has neither quotation marks, backslashes nor control characters; eight bytes at a time.
  static func isPlain(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    let raw = UnsafeRawBufferPointer(text)
    var slot = 0
    while slot &+ 8 <= text.count {
      let eight = raw.loadUnaligned(fromByteOffset: slot, as: UInt64.self)
      // The top bit of a byte that is less than what is subtracted, and is not above 0x7f itself.
      let ones: UInt64 = 0x0101_0101_0101_0101
      let quotes = eight ^ (ones &* 0x22)
      let slashes = eight ^ (ones &* 0x5c)
      let found =
        (eight &- ones &* 0x20) & ~eight | (quotes &- ones) & ~quotes | (slashes &- ones) & ~slashes
      guard found & (ones &* 0x80) == 0 else { return false }
      slot &+= 8
    }
    while slot < text.count {
      guard text[slot] >= 0x20, text[slot] != 0x22, text[slot] != 0x5c else { return false }
      slot &+= 1
    }
    return true
  }

  private mutating func appendEscaped(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"):
      bytes.append(UInt8(ascii: "\\"))
      bytes.append(byte)
    case 0x0a: bytes.append(contentsOf: "\\n".utf8)
    case 0x0d: bytes.append(contentsOf: "\\r".utf8)
    case 0x09: bytes.append(contentsOf: "\\t".utf8)
    case 0..<0x20:
      bytes.append(contentsOf: "\\u00".utf8)
      bytes.append(0x30 + (byte >> 4))
      bytes.append(byte & 15 < 10 ? 0x30 + (byte & 15) : 0x57 + (byte & 15))
    default: bytes.append(byte)
    }
  }
}
