/// Finds the client behind proxies that are trusted to say for whom they speak.
///
/// Every proxy appends the address that it was asked from, and a client may send the field as well: only what a trusted
/// proxy appended says anything. So the list is read from its end, as long as the addresses are those of trusted proxies.
public struct ForwardedClient: Sendable, Equatable {
  /// The field that the proxies append to. Reading either would let clients choose: a proxy passes the other one on.
  public enum Field: String, CaseIterable, Sendable {
    case xForwardedFor = "x-forwarded-for"
    /// RFC 7239.
    case forwarded
  }

  public let proxies: TrustedProxies
  public let field: Field

  public init(behind proxies: TrustedProxies, field: Field) {
    self.proxies = proxies
    self.field = field
  }

  /// The first address from the end that is not a trusted proxy's; the foremost one when all are.
  ///
  /// - Parameter peer: who sent the message, `192.0.2.1:4711` or `unix`.
  /// - Returns: nil when the peer is not trusted or names no address.
  public func address(peer: String, fields: HeaderFields) -> IPAddress? {
    guard proxies.trust(peer: peer) else { return nil }
    var client: IPAddress?
    for member in fields.list(field.rawValue).reversed() {
      // "unknown" and names of a proxy's choice end the chain, like anything that is no address.
      guard let node = field == .forwarded ? Self.forwardedFor(member) : Array(member),
        let address = IPAddress(node: node[...])
      else { break }
      client = address
      guard proxies.contain(address) else { break }
    }
    return client
  }

  /// The value of `for=` in one member of `Forwarded`, without the quotes.
  private static func forwardedFor(_ member: ArraySlice<UInt8>) -> [UInt8]? {
    var node: [UInt8]?
    HeaderFields.splitList(member, separator: UInt8(ascii: ";")) { pair in
      guard node == nil, pair.count > 4, ASCII.equalsIgnoringCase(pair.prefix(4), "for=".utf8) else { return }
      let value = pair.dropFirst(4)
      let quote = UInt8(ascii: "\"")
      guard value.first == quote else { return node = Array(value) }
      guard value.count >= 2, value.last == quote else { return }
      // Addresses hold nothing that has to be escaped.
      node = Array(value.dropFirst().dropLast())
    }
    return node
  }
}

/// The proxies whose word on their clients is taken: networks, and whoever connects to a socket file.
public struct TrustedProxies: Sendable, Equatable, CustomStringConvertible {
  public let networks: [IPNetwork]
  public let includesUnix: Bool

  private static let unix = "unix"

  public static let none = TrustedProxies(networks: [], includesUnix: false)

  private init(networks: [IPNetwork], includesUnix: Bool) {
    self.networks = networks
    self.includesUnix = includesUnix
  }

  public var isEmpty: Bool { networks.isEmpty && !includesUnix }

  /// Reads `10.0.0.0/8,fd00::/8,192.0.2.7,unix` or `none`; nil when a member is none of these.
  public init?(_ text: String) {
    var networks: [IPNetwork] = []
    var includesUnix = false
    if text != "none" {
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        if part == Self.unix {
          includesUnix = true
        } else {
          guard let network = IPNetwork(String(part)) else { return nil }
          networks.append(network)
        }
      }
    }
    self.init(networks: networks, includesUnix: includesUnix)
  }

  public func contain(_ address: IPAddress) -> Bool { networks.contains { $0.contains(address) } }

  func trust(peer: String) -> Bool {
    if peer == Self.unix { return includesUnix }
    return IPAddress(node: Array(peer.utf8)[...]).map(contain) ?? false
  }

  public var description: String {
    isEmpty
      ? "none" : (networks.map(\.description) + (includesUnix ? [Self.unix] : [])).joined(separator: ",")
  }
}

extension IPAddress {
  /// Reads the address of `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[fe80::1%eth0]:4711`.
  init?(node: ArraySlice<UInt8>) {
    let colon = UInt8(ascii: ":")
    var text = node
    if node.first == UInt8(ascii: "[") {
      guard let close = node.firstIndex(of: UInt8(ascii: "]")) else { return nil }
      let rest = node[(close + 1)...]
      guard rest.isEmpty || rest.first == colon && ASCII.number(rest.dropFirst()) != nil else { return nil }
      // The zone says by which interface, and the same network on another is another one: for trust that is near enough.
      text = node[(node.startIndex + 1)..<close].prefix { $0 != UInt8(ascii: "%") }
    } else if let end = node.firstIndex(of: colon), node.lastIndex(of: colon) == end {
      guard ASCII.number(node[(end + 1)...]) != nil else { return nil }
      text = node[..<end]
    }
    self.init(text)
  }
}
