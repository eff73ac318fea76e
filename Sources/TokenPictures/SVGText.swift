/// Grows the text of an SVG document.
///
/// Numbers have at most two decimals, rounded, so that the same picture is the same bytes everywhere.
struct SVGText {
  private(set) var bytes: [UInt8] = []

  mutating func markup(_ text: String) { bytes += text.utf8 }

  /// Text as content or as the value of an attribute in double quotes. Characters that XML 1.0 has no place for
  /// (section 2.2) are left out.
  mutating func escaped(_ text: String) {
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": markup("&amp;")
      case "<": markup("&lt;")
      case ">": markup("&gt;")
      case "\"": markup("&quot;")
      case "\u{0}"..."\u{8}", "\u{b}", "\u{c}", "\u{e}"..."\u{1f}", "\u{fffe}", "\u{ffff}": break
      default: bytes += UTF8.encode(scalar).map { Array($0) } ?? []
      }
    }
  }

  mutating func element(_ name: String, text: String, _ attributes: String = "") {
    markup("<\(name)\(attributes.isEmpty ? "" : " ")\(attributes)>")
    escaped(text)
    markup("</\(name)>\n")
  }

  /// - Precondition: finite.
  static func number(_ value: Double) -> String {
    let hundredths = (value * 100).rounded()
    // Coordinates are of the size of a screen; a document that is not may as well end there.
    guard abs(hundredths) < 1e15 else { return value < 0 ? "-9999999999999" : "9999999999999" }
    let whole = Int(hundredths)
    let (units, rest) = abs(whole).quotientAndRemainder(dividingBy: 100)
    var text = whole < 0 ? "-\(units)" : "\(units)"
    if rest > 0 {
      text += rest < 10 ? ".0" : "."
      text += rest % 10 == 0 ? "\(rest / 10)" : "\(rest)"
    }
    return text
  }
}
