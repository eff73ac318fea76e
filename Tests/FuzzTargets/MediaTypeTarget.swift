import HTTP1

extension FuzzTarget {
  /// Content-Type and Accept: the first line is the one, the others are lines of the other.
  static let mediaType = FuzzTarget("media-type", maximumBytes: 512) { bytes throws(BrokenLaw) in
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if let type = MediaType(lines[0]) {
      try require(
        MediaType(rewritten(type)[...]) == type || !isText(lines[0]), "a type written again is the same")
      try require(type.essence == lowercased(type.essence), "type and subtype are in lower case")
    }
    let accept = Array(lines.dropFirst())
    let best = head(accept).bestOffer(among: offers)
    try require(best.map { offers.contains($0) } ?? true, "what is chosen was offered")
    // Ranges that cover no offer change nothing once there is a range at all.
    let more = head(accept + [ArraySlice("zz/zz".utf8)]).bestOffer(among: offers)
    let evenMore = head([ArraySlice("yy/yy;q=0.5".utf8)] + accept + [ArraySlice("zz/zz".utf8)])
      .bestOffer(among: offers)
    try require(more == evenMore, "ranges of other types change nothing")
    let codings = head([], more: [("content-encoding", lines[0])]).contentCodings
    try require(codings.allSatisfy { !$0.isEmpty && $0 != "identity" }, "codings are named and not identity")
  }

  private static let offers = [
    MediaType(type: "application", subtype: "json"), MediaType(type: "application", subtype: "x-safetensors"),
    MediaType(type: "application", subtype: "x-npy", parameters: [.init("version", "1")]),
  ]

  private static func head(
    _ accept: [ArraySlice<UInt8>], more: [(String, ArraySlice<UInt8>)] = []
  ) -> RequestHead {
    var fields = HeaderFields()
    for value in accept { fields.append(name: "accept".utf8, value: value) }
    for (name, value) in more { fields.append(name: name.utf8, value: value) }
    return RequestHead(method: "GET", target: "/", path: "/", query: nil, version: .http11, fields: fields)
  }

  /// Every value in quotation marks.
  private static func rewritten(_ type: MediaType) -> [UInt8] {
    var text = type.essence
    for parameter in type.parameters {
      let escaped = parameter.value.unicodeScalars.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }
      text += " ;\t\(parameter.name)=\"\(escaped.joined())\""
    }
    return Array(text.utf8)
  }

  /// Whether decoding as UTF-8 repairs nothing.
  private static func isText(_ bytes: ArraySlice<UInt8>) -> Bool {
    String(validating: bytes, as: UTF8.self) != nil
  }

  private static func lowercased(_ text: String) -> String {
    String(decoding: text.utf8.map(ASCII.lowercase), as: UTF8.self)
  }
}
