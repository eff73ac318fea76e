import HTTP1

extension FuzzTarget {
  /// The first line is a list of trusted proxies, the second a field of theirs; all of it is a header of the PROXY protocol
  /// as well.
  static let peers = FuzzTarget("peers", maximumBytes: 512) { bytes throws(BrokenLaw) in
    try checkHeader(bytes)
    let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
    let text = String(decoding: lines[0], as: UTF8.self)
    let proxies = TrustedProxies(text) ?? .none
    try require(TrustedProxies(proxies.description) == proxies, "a list of proxies written again is the same")
    if let address = IPAddress(lines[0]) {
      try require(IPAddress(Array("\(address)".utf8)) == address, "an address written again is the same")
    }
    for field in ForwardedClient.Field.allCases {
      var fields = HeaderFields()
      fields.append(name: field.rawValue.utf8, value: lines.last ?? [])
      let believer = ForwardedClient(behind: TrustedProxies("127.0.0.1") ?? .none, field: field)
      try require(believer.address(peer: "127.0.0.2:1", fields: fields) == nil, "nobody else is believed")
      // Whatever stands before it, the last address counts.
      fields.append(
        name: field.rawValue.utf8, value: (field == .forwarded ? "for=192.0.2.7" : "192.0.2.7").utf8)
      let last = believer.address(peer: "127.0.0.1:1", fields: fields)
      try require(last.map { "\($0)" } == "192.0.2.7", "the last address counts")
    }
  }

  private static func checkHeader(_ bytes: [UInt8]) throws(BrokenLaw) {
    guard let whole = try? ProxyHeader.parse(bytes) else { return }
    guard case .complete(_, let byteCount) = whole else { return }
    try require(byteCount <= min(bytes.count, ProxyHeader.maximumByteCount), "a header ends within its bytes")
    // Of a header that is accepted every part is the beginning of one.
    for count in Cuts.bytewise(bytes) where count < byteCount {
      try require(
        (try? ProxyHeader.parse(Array(bytes[..<count]))) == .incomplete, "a part of a header is incomplete")
    }
    try require((try? ProxyHeader.parse(Array(bytes[..<byteCount]))) == whole, "what follows plays no part")
  }
}
