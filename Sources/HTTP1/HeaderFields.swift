/// Header fields in the order received; values of a repeated name are kept apart, never silently merged.
public struct HeaderFields: Sendable {
  /// The field section as received; each line points at its name and its trimmed value.
  private var bytes: [UInt8] = []
  private var lines: [Line] = []

  struct Line: Sendable {
    let nameStart: UInt32
    let nameEnd: UInt32
    let valueStart: UInt32
    let valueEnd: UInt32

    @inline(__always)
    init(name: Range<Int>, value: Range<Int>) {
      nameStart = UInt32(name.lowerBound)
      nameEnd = UInt32(name.upperBound)
      valueStart = UInt32(value.lowerBound)
      valueEnd = UInt32(value.upperBound)
    }

    var name: Range<Int> { Int(nameStart)..<Int(nameEnd) }
    var value: Range<Int> { Int(valueStart)..<Int(valueEnd) }
  }

  public init() {}

  /// Takes over a field section whose lines were found by the parser.
  init(section: RawSpan, lines: [Line]) {
    bytes = [UInt8](unsafeUninitializedCapacity: section.byteCount) { target, count in
      section.withUnsafeBytes { UnsafeMutableRawBufferPointer(target).copyMemory(from: $0) }
      count = section.byteCount
    }
    self.lines = lines
  }

  /// The bytes that ``inSection(_:)`` replaces.
  var section: [UInt8] { bytes }

  /// About what all of it takes in memory.
  var heldBytes: Int { bytes.count + lines.capacity * MemoryLayout<Line>.stride }

  /// The same lines, whose names and values stand at the same places of another section.
  func inSection(_ section: [UInt8]) -> HeaderFields {
    var fields = self
    fields.bytes = section
    return fields
  }

  /// Where the values of fields with one of these names stand, in lower case and in the order of the lines.
  func places(ofValuesNamed names: Set<String>) -> [Range<Int>] {
    lines.filter { line in
      names.contains(String(decoding: bytes[line.name].map(ASCII.lowercase), as: UTF8.self))
    }.map(\.value)
  }

  public mutating func append(name: some Collection<UInt8>, value: some Collection<UInt8>) {
    let start = bytes.count
    bytes.append(contentsOf: name)
    let middle = bytes.count
    bytes.append(contentsOf: value)
    lines.append(Line(name: start..<middle, value: middle..<bytes.count))
  }

  /// The values of every field line with this name, compared without regard to ASCII case.
  public func values(_ name: String) -> [ArraySlice<UInt8>] {
    var values: [ArraySlice<UInt8>] = []
    forEachValue(name) { values.append($0) }
    return values
  }

  /// The value of the one field line with this name; nil when there is none, or more than one.
  public func single(_ name: String) -> ArraySlice<UInt8>? {
    var found: ArraySlice<UInt8>?
    var count = 0
    forEachValue(name) { value in
      found = value
      count += 1
    }
    return count == 1 ? found : nil
  }

  public func contains(_ name: String) -> Bool {
    let length = name.utf8.count
    return lines.contains { $0.name.count == length && matches($0, name) }
  }

  /// All field lines in order, for logs and tests.
  public var all: [(name: String, value: String)] {
    lines.map {
      (String(decoding: bytes[$0.name], as: UTF8.self), String(decoding: bytes[$0.value], as: UTF8.self))
    }
  }

  /// Calls `body` with each value of this name in order.
  func forEachValue<E: Error>(_ name: String, _ body: (ArraySlice<UInt8>) throws(E) -> Void) throws(E) {
    let length = name.utf8.count
    for line in lines where line.name.count == length && matches(line, name) { try body(bytes[line.value]) }
  }

  /// Compares names already known to be of equal length.
  private func matches(_ line: Line, _ name: String) -> Bool {
    let wanted = name.utf8.span
    let received = bytes.span
    for index in wanted.indices {
      guard ASCII.lowercase(received[Int(line.nameStart) + index]) == ASCII.lowercase(wanted[index]) else {
        return false
      }
    }
    return true
  }
}

extension HeaderFields: Equatable {
  /// Equal when names and values are, byte for byte and in the same order, whatever stood between them.
  public static func == (a: HeaderFields, b: HeaderFields) -> Bool {
    a.lines.count == b.lines.count
      && zip(a.lines, b.lines).allSatisfy {
        a.bytes[$0.name] == b.bytes[$1.name] && a.bytes[$0.value] == b.bytes[$1.value]
      }
  }
}

extension HeaderFields {
  /// The members of a comma-separated field over all its lines, whitespace removed, empty members skipped
  /// (RFC 9110 section 5.6.1.2). Commas inside quoted strings separate nothing.
  public func list(_ name: String) -> [ArraySlice<UInt8>] {
    var members: [ArraySlice<UInt8>] = []
    forEachValue(name) { value in
      Self.splitList(value) { if !$0.isEmpty { members.append($0) } }
    }
    return members
  }

  /// True when a field that is a list of tokens has this one among its members, in any case. Tokens have no quotation
  /// marks, so a stray one hides no comma.
  public func hasToken(_ token: String, in name: String) -> Bool {
    var found = false
    forEachValue(name) { value in
      for member in value.split(separator: UInt8(ascii: ",")) {
        found = found || ASCII.equalsIgnoringCase(ASCII.trimmed(member), token.utf8)
      }
    }
    return found
  }

  /// Calls `body` with each member of one value, empty ones included.
  static func splitList(
    _ value: ArraySlice<UInt8>, separator: UInt8 = UInt8(ascii: ","), _ body: (ArraySlice<UInt8>) -> Void
  ) {
    var start = value.startIndex
    var isQuoted = false
    var isEscaped = false
    for (offset, byte) in zip(value.indices, value) {
      if isEscaped {
        isEscaped = false
      } else if byte == UInt8(ascii: "\"") {
        isQuoted.toggle()
      } else if byte == UInt8(ascii: "\\") {
        isEscaped = isQuoted
      } else if byte == separator, !isQuoted {
        body(ASCII.trimmed(value[start..<offset]))
        start = offset + 1
      }
    }
    body(ASCII.trimmed(value[start...]))
  }
}
