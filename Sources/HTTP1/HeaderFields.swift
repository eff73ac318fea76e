/// Header fields in the order received; values of a repeated name are kept apart, never silently merged.
public struct HeaderFields: Sendable, Equatable {
  /// Field lines back to back: name bytes then value bytes, whitespace around the value removed.
  private var bytes: [UInt8] = []
  private var lines: [Line] = []

  private struct Line: Sendable, Equatable {
    let nameStart: Int
    let nameEnd: Int
    let valueEnd: Int
  }

  public init() {}

  public var count: Int { lines.count }

  public mutating func append(name: some Collection<UInt8>, value: some Collection<UInt8>) {
    let start = bytes.count
    bytes.append(contentsOf: name)
    let nameEnd = bytes.count
    bytes.append(contentsOf: value)
    lines.append(Line(nameStart: start, nameEnd: nameEnd, valueEnd: bytes.count))
  }

  /// The values of every field line with this name, compared without regard to ASCII case.
  public func values(_ name: String) -> [ArraySlice<UInt8>] {
    lines.lazy.filter { matches($0, name) }.map { bytes[$0.nameEnd..<$0.valueEnd] }
  }

  /// The value of the first field line with this name.
  public func first(_ name: String) -> String? {
    lines.first { matches($0, name) }.map { String(decoding: bytes[$0.nameEnd..<$0.valueEnd], as: UTF8.self) }
  }

  public func contains(_ name: String) -> Bool { lines.contains { matches($0, name) } }

  /// All field lines in order, for logs and tests.
  public var all: [(name: String, value: String)] {
    lines.map { line in
      (
        String(decoding: bytes[line.nameStart..<line.nameEnd], as: UTF8.self),
        String(decoding: bytes[line.nameEnd..<line.valueEnd], as: UTF8.self)
      )
    }
  }

  private func matches(_ line: Line, _ name: String) -> Bool {
    ASCII.equalsIgnoringCase(bytes[line.nameStart..<line.nameEnd], name.utf8)
  }
}
