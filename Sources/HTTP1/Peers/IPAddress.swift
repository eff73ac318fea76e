/// An IPv4 or IPv6 address as a number; an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is the IPv4 address.
public struct IPAddress: Sendable, Hashable {
  public enum Family: Sendable, Hashable { case v4, v6 }

  public let family: Family
  /// In the order of the network; of IPv4 the lowest 32.
  public let bits: UInt128

  public init(v4 bits: UInt32) {
    family = .v4
    self.bits = UInt128(bits)
  }

  public init(v6 bits: UInt128) {
    let isMapped = bits >> 32 == 0xffff
    family = isMapped ? .v4 : .v6
    self.bits = isMapped ? bits & 0xffff_ffff : bits
  }

  /// The number of bits of an address of its family.
  public var width: Int { family == .v4 ? 32 : 128 }

  /// Reads `192.0.2.1`, `2001:db8::1` or `::ffff:192.0.2.1`.
  ///
  /// - Returns: nil for anything else: leading zeros in IPv4, which some readers take for octal, zones, brackets, ports.
  public init?(_ text: some Collection<UInt8>) {
    let text = Array(text)
    guard text.contains(UInt8(ascii: ":")) else {
      guard let bits = Self.v4(text[...]) else { return nil }
      self.init(v4: bits)
      return
    }
    guard let bits = Self.v6(text[...]) else { return nil }
    self.init(v6: bits)
  }

  private static func v4(_ text: ArraySlice<UInt8>) -> UInt32? {
    let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bits: UInt32 = 0
    for part in parts {
      guard part.count <= 3, part.count == 1 || part.first != UInt8(ascii: "0"),
        let number = ASCII.number(part), number <= 255
      else { return nil }
      bits = bits << 8 | UInt32(number)
    }
    return bits
  }

  /// RFC 4291 section 2.2: eight groups of hexadecimal digits, one run of zero groups as `::`, IPv4 in place of the last
  /// two.
  private static func v6(_ text: ArraySlice<UInt8>) -> UInt128? {
    let colon = UInt8(ascii: ":")
    var halves: [ArraySlice<UInt8>] = [text]
    if let gap = text.indices.first(where: { text[$0...].starts(with: [colon, colon]) }) {
      halves = [text[..<gap], text[(gap + 2)...]]
    }
    var groups: [[UInt16]] = []
    for (index, half) in halves.enumerated() {
      guard let found = Self.groups(half, mayEndInV4: index == halves.count - 1) else { return nil }
      groups.append(found)
    }
    let count = groups.reduce(0) { $0 + $1.count }
    guard halves.count == 2 ? count <= 7 : count == 8 else { return nil }
    let zeros = [UInt16](repeating: 0, count: 8 - count)
    let all = halves.count == 2 ? groups[0] + zeros + groups[1] : groups[0]
    return all.reduce(0) { $0 << 16 | UInt128($1) }
  }

  private static func groups(_ text: ArraySlice<UInt8>, mayEndInV4: Bool) -> [UInt16]? {
    guard !text.isEmpty else { return [] }
    let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    var groups: [UInt16] = []
    for (index, part) in parts.enumerated() {
      if mayEndInV4, index == parts.count - 1, part.contains(UInt8(ascii: ".")) {
        guard let bits = v4(part) else { return nil }
        groups += [UInt16(bits >> 16), UInt16(truncatingIfNeeded: bits)]
        continue
      }
      guard (1...4).contains(part.count) else { return nil }
      var group: UInt16 = 0
      for byte in part {
        guard let digit = ASCII.hexadecimal(byte) else { return nil }
        group = group << 4 | UInt16(digit)
      }
      groups.append(group)
    }
    return groups.count <= 8 ? groups : nil
  }
}

extension IPAddress: CustomStringConvertible {
  /// Canonical: `192.0.2.1`, and IPv6 as RFC 5952 writes it.
  public var description: String {
    guard family == .v6 else {
      return [24, 16, 8, 0].map { String(bits >> UInt128($0) & 0xff) }.joined(separator: ".")
    }
    let groups = stride(from: 112, through: 0, by: -16).map {
      UInt16(truncatingIfNeeded: bits >> UInt128($0))
    }
    let run = Self.longestZeroRun(groups)
    func text(_ part: ArraySlice<UInt16>) -> String {
      part.map { String($0, radix: 16) }.joined(separator: ":")
    }
    guard run.count >= 2 else { return text(groups[...]) }
    return text(groups[..<run.lowerBound]) + "::" + text(groups[run.upperBound...])
  }

  /// The first of the longest runs of zero groups.
  private static func longestZeroRun(_ groups: [UInt16]) -> Range<Int> {
    var longest = 0..<0
    var start = 0
    for index in groups.indices {
      guard groups[index] == 0 else {
        start = index + 1
        continue
      }
      if index + 1 - start > longest.count { longest = start..<(index + 1) }
    }
    return longest
  }
}

/// All addresses that begin with the same bits: `10.0.0.0/8`, or one address.
public struct IPNetwork: Sendable, Hashable, CustomStringConvertible {
  public let first: IPAddress
  public let prefixLength: Int

  /// - Returns: nil when `text` is neither an address nor one with a prefix length, and when the address has bits set
  ///   behind the prefix: whoever wrote it meant another network, or one address.
  public init?(_ text: String) {
    let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard parts.count <= 2, let address = IPAddress(parts[0]) else { return nil }
    var length = address.width
    if parts.count == 2 {
      guard parts[1].count <= 3, let number = ASCII.number(parts[1]), number <= address.width else {
        return nil
      }
      length = number
    }
    guard Self.prefix(of: address, length) == address.bits else { return nil }
    first = address
    prefixLength = length
  }

  public func contains(_ address: IPAddress) -> Bool {
    address.family == first.family && Self.prefix(of: address, prefixLength) == first.bits
  }

  private static func prefix(of address: IPAddress, _ length: Int) -> UInt128 {
    let rest = UInt128(address.width - length)
    // A shift by all 128 bits gives zero: Swift's smart shift.
    return (address.bits >> rest) << rest
  }

  public var description: String {
    prefixLength == first.width ? "\(first)" : "\(first)/\(prefixLength)"
  }
}
