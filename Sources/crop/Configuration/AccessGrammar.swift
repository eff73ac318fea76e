import HTTP1

extension ValueGrammar<TrustedProxies> {
  static var proxies: Self {
    Self(
      valueName: "networks",
      expected: "a list of networks such as 10.0.0.0/8,fd00::/8,192.0.2.7,unix, or none",
      parse: { TrustedProxies($0) }, render: { $0.description })
  }
}

/// How the settings of access are written: web origins.
extension ValueGrammar<[String]> {
  /// Origins as browsers send them, with commas between; `*` for all of them, `none` for the empty list.
  static var origins: Self {
    Self(
      valueName: "origins",
      expected: "a list of origins such as https://app.example.org,http://localhost:3000, or *, or none",
      parse: { text in
        guard text != "none", text != "*" else { return text == "*" ? ["*"] : [] }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let origins = parts.compactMap { canonicalOrigin($0) }
        return origins.count == parts.count ? origins : nil
      },
      render: { $0.isEmpty ? "none" : $0.joined(separator: ",") })
  }
}

/// An origin in the one spelling that browsers use (RFC 6454 section 6.2): lower case, without the usual port.
///
/// - Returns: nil for anything but `http://host`, `https://host` and the same with a port; a slash at the end is not
///   part of an origin and would never match.
private func canonicalOrigin(_ part: Substring) -> String? {
  let text = trimmed(part).lowercased()
  for (scheme, usualPort) in [("https://", 443), ("http://", 80)] where text.hasPrefix(scheme) {
    var host = text.dropFirst(scheme.count)
    var port: Int?
    if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") {
      port = ValueGrammar.integer(1...65_535).parse(String(host[host.index(after: colon)...]))
      guard port != nil else { return nil }
      host = host[..<colon]
    }
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    let name = isBracketed ? host.dropFirst().dropLast() : host
    guard name.contains(":") == isBracketed, ValueGrammar.host.parse(String(name)) != nil else { return nil }
    return scheme + host + (port == nil || port == usualPort ? "" : ":\(port ?? 0)")
  }
  return nil
}
