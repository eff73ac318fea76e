/// A complete, acceptable head, and what follows from its bytes whatever its ``varyingFields`` say.
public final class KnownHead: Sendable {
  public let head: RequestHead
  public let framing: BodyFraming
  public let wantsKeepAlive: Bool
  /// The client may wait for `100 Continue`.
  public let expectsContinue: Bool
  private let bytes: [UInt8]
  /// Where the values of varying fields stand in the field section.
  private let places: [Range<Int>]
  private let sectionStart: Int

  public var byteCount: Int { bytes.count }
  public var hasBody: Bool { framing != .none }
  /// Whether bytes of a body follow on the connection.
  public var hasBodyOnTheWire: Bool { framing.isOnTheWire }

  /// Fields that tell one request from the next and decide nothing: clients and proxies give them another value each
  /// time. Whoever resolves a head must not look at them.
  public static let varyingFields: Set = [
    "idempotency-key", "traceparent", "tracestate", "x-amzn-trace-id", "x-b3-parentspanid", "x-b3-spanid",
    "x-b3-traceid", "x-cloud-trace-context", "x-correlation-id", "x-datadog-parent-id", "x-datadog-trace-id",
    "x-request-id", "x-request-start", "x-trace-id",
  ]

  /// - Parameters:
  ///   - bytes: the message's, up to and including the empty line.
  ///   - resolve: what the responder makes of it, see ``Responder/resolve(_:framing:)``.
  /// - Throws: what ``BodyFraming`` and the expectation reject.
  public init(
    _ head: RequestHead, bytes: ArraySlice<UInt8>,
    resolve: (RequestHead, BodyFraming) -> (any AnyObject & Sendable)?
  ) throws(FramingError) {
    let framing = try BodyFraming(of: head)
    expectsContinue = try head.expectation() == .continueResponse
    wantsKeepAlive = head.wantsKeepAlive
    self.bytes = Array(bytes)
    self.framing = framing
    places = head.fields.places(ofValuesNamed: Self.varyingFields)
    // The empty line follows the section.
    sectionStart = bytes.count - 2 - head.fields.section.count
    var head = head
    head.resolution = resolve(head, framing)
    self.head = head
  }

  /// Whether `message` begins with this head, but for the values of varying fields: those are as long as here, and
  /// visible ASCII, so that reading them could bring nothing to light.
  func isForm(of message: RawSpan) -> Bool {
    let bytes = bytes
    guard !places.isEmpty else { return message.begins(with: bytes.span.bytes) }
    guard message.byteCount >= bytes.count else { return false }
    // All of it is looked at, see `begins`.
    var isSame = true
    var start = 0
    for place in places {
      let value = (sectionStart + place.lowerBound)..<(sectionStart + place.upperBound)
      isSame =
        message.extracting(start..<value.lowerBound).begins(
          with: bytes.span.bytes.extracting(start..<value.lowerBound)) && isSame
      isSame = message.isVisible(value) && isSame
      start = value.upperBound
    }
    return message.extracting(start..<message.byteCount).begins(
      with: bytes.span.bytes.extracting(start..<bytes.count)) && isSame
  }

  /// Has `head`, which is of this form, say what `message` says.
  func takeValues(of message: RawSpan, into head: inout RequestHead) {
    guard !places.isEmpty else { return }
    head.takeValues(places, of: message.extracting(sectionStart..<(byteCount - 2)))
  }
}

/// The last few heads that came: clients repeat themselves byte for byte, but for the values of a few fields.
///
/// Reading a head is a function of its bytes, and so is everything in ``KnownHead``; whoever sends the same bytes
/// again gets the same value without a byte being judged again. What may change with time, such as whether a key is
/// still valid, is never part of it.
public struct RecentHeads: Sendable {
  /// What a message begins with: its own head, and all that is known of heads of its form.
  public struct Match: Sendable {
    public let head: RequestHead
    public let known: KnownHead

    public init(_ known: KnownHead) {
      self.known = known
      head = known.head
    }

    fileprivate init(_ entry: Entry) {
      known = entry.known
      head = entry.latest
    }
  }

  fileprivate struct Entry {
    let known: KnownHead
    /// Of this form, with the values that came last.
    var latest: RequestHead
  }

  public static let maximumCount = 8
  /// Longer ones are rare, and would be held for nothing.
  private static let maximumBytes = 2 << 10

  private var entries: [Entry] = []
  private var oldest = 0
  private var lastFound = 0

  public init() { entries.reserveCapacity(Self.maximumCount) }

  /// The head that `buffer[start...]` begins with, if one of its form came before.
  public mutating func match(_ buffer: [UInt8], from start: Int) -> Match? {
    let bytes = buffer.span.bytes.extracting(start..<buffer.count)
    if lastFound < entries.count, entries[lastFound].known.isForm(of: bytes) { return take(lastFound, bytes) }
    for index in entries.indices where entries[index].known.isForm(of: bytes) {
      lastFound = index
      return take(index, bytes)
    }
    return nil
  }

  private mutating func take(_ index: Int, _ bytes: RawSpan) -> Match {
    let known = entries[index].known
    known.takeValues(of: bytes, into: &entries[index].latest)
    return Match(entries[index])
  }

  /// Remembers a head in the place of the one that has been here longest.
  public mutating func remember(_ head: KnownHead) {
    guard head.byteCount <= Self.maximumBytes else { return }
    let entry = Entry(known: head, latest: head.head)
    guard entries.count == Self.maximumCount else { return entries.append(entry) }
    entries[oldest] = entry
    oldest = (oldest + 1) % Self.maximumCount
  }
}

extension RawSpan {
  /// Whether these bytes start with `prefix`.
  ///
  /// Every byte is compared whatever was found before: a head may hold a key, and the time must not tell how much of
  /// one was guessed.
  public func begins(with prefix: RawSpan) -> Bool {
    let count = prefix.byteCount
    guard byteCount >= count else { return false }
    var difference: UInt64 = 0
    var offset = 0
    while count - offset >= 8 {
      difference |=
        unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
        ^ prefix.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
      offset += 8
    }
    while offset < count {
      difference |= UInt64(byte(offset) ^ prefix.byte(offset))
      offset += 1
    }
    return difference == 0
  }

  /// Whether all bytes of `range` are visible ASCII.
  fileprivate func isVisible(_ range: Range<Int>) -> Bool {
    var isVisible = true
    for offset in range { isVisible = byte(offset) > ASCII.space && byte(offset) < 0x7f && isVisible }
    return isVisible
  }
}
