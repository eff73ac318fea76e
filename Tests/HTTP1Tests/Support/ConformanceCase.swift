import Foundation
import Testing

/// One section of a file in `Conformance`: a name, input bytes and the lines expected of them.
struct ConformanceCase: Sendable, CustomTestStringConvertible {
  let name: String
  let input: [UInt8]
  let expected: [String]

  var testDescription: String { name }

  /// Reads all cases of a file; a file that cannot be read yields none, which a test of its own notices.
  static func load(_ file: String) -> [ConformanceCase] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let url = folder.appendingPathComponent("Conformance").appendingPathComponent(file)
    guard let text = try? String(contentsOf: url, encoding: .utf8) else { return [] }
    return text.components(separatedBy: "\n## ").dropFirst().map { section in
      let lines = section.split(separator: "\n").map(String.init)
      let (input, expected) = (lines.dropFirst().filter { !isExpected($0) }, lines.filter(isExpected))
      return ConformanceCase(
        name: lines[0], input: input.flatMap(unescaped), expected: expected.map { String($0.dropFirst(2)) })
    }
  }

  private static func isExpected(_ line: String) -> Bool { line.hasPrefix("> ") }

  /// Turns `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` into bytes.
  static func unescaped(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\"), let kind = rest.popFirst() else {
        bytes.append(byte)
        continue
      }
      switch Character(Unicode.Scalar(kind)) {
      case "r": bytes.append(0x0d)
      case "n": bytes.append(0x0a)
      case "t": bytes.append(0x09)
      case "0": bytes.append(0x00)
      case "x":
        bytes.append(UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) ?? 0)
        rest = rest.dropFirst(2)
      default: bytes.append(kind)
      }
    }
    return bytes
  }

  /// The reverse of `unescaped`.
  static func escaped(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { byte in
      switch byte {
      case 0x0d: "\\r"
      case 0x0a: "\\n"
      case 0x09: "\\t"
      case 0x00: "\\0"
      case UInt8(ascii: "\\"): "\\\\"
      case 0x20..<0x7f: String(Unicode.Scalar(byte))
      default: "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
    }.joined()
  }
}

/// Bytes of a Swift string.
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
