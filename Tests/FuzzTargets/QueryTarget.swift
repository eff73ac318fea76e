import HTTP1

extension FuzzTarget {
  /// Query strings and percent-encoding.
  static let query = FuzzTarget("query", maximumBytes: 1024) { bytes throws(BrokenLaw) in
    let decodedPath = try? PercentEncoding.decode(bytes)
    if let decodedPath {
      try require(
        (try? PercentEncoding.decode(encoded(decodedPath).utf8)) == decodedPath,
        "an escaped text is read as the same")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { return }
    guard let items = try? QueryItem.decode(text) else { return }
    try require(items.count <= 100, "the number of pairs is limited")
    let rewritten = items.map { "\(encoded($0.name))=\(encoded($0.value))" }.joined(separator: "&")
    try require((try? QueryItem.decode(rewritten)) == items, "a query written again is the same")
    let pairs = bytes.split(separator: UInt8(ascii: "&"))
    try require(pairs.count == items.count, "every pair that is not empty is an item")
  }

  /// Every byte escaped.
  private static func encoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEFabcdef".unicodeScalars)
    var result = String.UnicodeScalarView()
    for byte in text.utf8 {
      result.append("%")
      result.append(digits[Int(byte >> 4)])
      result.append(digits[Int(byte & 15)])
    }
    return String(result)
  }
}
