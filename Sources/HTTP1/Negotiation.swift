/// One member of Accept: a media range and how much it is wanted (RFC 9110 section 12.5.1).
struct MediaRange: Sendable, Equatable {
  /// `*` stands for any type or subtype.
  let range: MediaType
  /// Thousandths, 0 (not acceptable) to 1000.
  let quality: Int

  /// Reads `type/*; name=value; q=0.5`; nil for anything else.
  init?(_ bytes: ArraySlice<UInt8>) {
    guard let type = MediaType(bytes), type.type != "*" || type.subtype == "*" else { return nil }
    guard let quality = type.parameter("q") else {
      self.range = type
      self.quality = 1000
      return
    }
    guard let thousandths = Quality.thousandths(Array(quality.utf8)[...]) else { return nil }
    // What stood behind q was an Accept extension, which RFC 9110 abandoned; only what stands before it counts.
    let parameters = type.parameters.prefix { $0.name != "q" }
    self.range = MediaType(type: type.type, subtype: type.subtype, parameters: Array(parameters))
    self.quality = thousandths
  }

  /// How precisely the range describes an offer; nil when it does not cover it.
  func precision(for offer: MediaType) -> Int? {
    guard range.type != "*" else { return range.parameters.isEmpty ? 0 : nil }
    guard range.type == offer.type else { return nil }
    guard range.subtype != "*" else { return range.parameters.isEmpty ? 1 : nil }
    guard range.subtype == offer.subtype else { return nil }
    let isCovered = range.parameters.allSatisfy { wanted in
      offer.parameter(wanted.name).map { ASCII.equalsIgnoringCase($0.utf8, wanted.value.utf8) } ?? false
    }
    return isCovered ? 2 + range.parameters.count : nil
  }
}

enum Quality {
  /// `qvalue` of RFC 9110 section 12.4.2: 0 to 1 with at most three decimals.
  static func thousandths(_ bytes: ArraySlice<UInt8>) -> Int? {
    guard let first = bytes.first, first == UInt8(ascii: "0") || first == UInt8(ascii: "1") else {
      return nil
    }
    var thousandths = first == UInt8(ascii: "1") ? 1000 : 0
    guard bytes.count > 1 else { return thousandths }
    let decimals = bytes.dropFirst(2)
    guard bytes[bytes.startIndex + 1] == UInt8(ascii: "."), decimals.count <= 3 else { return nil }
    for (decimal, place) in zip(decimals, [100, 10, 1]) {
      guard ASCII.isDigit(decimal) else { return nil }
      thousandths += Int(decimal - UInt8(ascii: "0")) * place
    }
    return thousandths <= 1000 ? thousandths : nil
  }
}

extension RequestHead {
  /// Browsers' have less than 200 bytes. Every range is compared with every offer.
  private static let maximumAcceptBytes = 1 << 10

  /// The well-formed members of Accept in order; what is malformed is left out, and all of an overlong field.
  var acceptedMediaTypes: [MediaRange] {
    var byteCount = 0
    fields.forEachValue("accept") { byteCount += $0.count }
    guard byteCount <= Self.maximumAcceptBytes else { return [] }
    return fields.list("accept").compactMap { MediaRange($0) }
  }

  /// Whether ``bestOffer(among:)`` is sure to be the first of them, which is `mediaType`: Accept is absent, or says that type or
  /// anything, without qualities. So do most clients, and it saves them the negotiation.
  public func takesFirstOffer(_ mediaType: String) -> Bool {
    var isSure = true
    fields.forEachValue("accept") { value in
      isSure = isSure && (value.elementsEqual(mediaType.utf8) || value.elementsEqual("*/*".utf8))
    }
    return isSure
  }

  /// The offer the client likes best, the earlier on a tie; nil when it accepts none (406).
  ///
  /// The most precise range that covers an offer decides about it. Without Accept, or with one that holds no
  /// well-formed member or more than 1 KiB, everything is acceptable and the first offer wins.
  public func bestOffer(among offers: [MediaType]) -> MediaType? {
    let ranges = acceptedMediaTypes
    guard !ranges.isEmpty else { return offers.first }
    var best: (offer: MediaType, quality: Int)?
    for offer in offers {
      var decisive = (precision: -1, quality: 0)
      for range in ranges {
        guard let precision = range.precision(for: offer), precision > decisive.precision else { continue }
        decisive = (precision, range.quality)
      }
      if decisive.quality > (best?.quality ?? 0) { best = (offer, decisive.quality) }
    }
    return best?.offer
  }
}
