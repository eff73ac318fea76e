/// A complete, acceptable head, and what follows from its bytes alone.
public final class KnownHead: Sendable {
  public let head: RequestHead
  public let framing: BodyFraming
  public let wantsKeepAlive: Bool
  /// The client may wait for `100 Continue`.
  public let expectsContinue: Bool
  let bytes: [UInt8]

  public var byteCount: Int { bytes.count }
  public var hasBody: Bool { framing != .none }

  /// - Parameters:
  ///   - bytes: the message's, up to and including the empty line.
  ///   - resolve: what the responder makes of it, see ``Responder/resolve(_:framing:)``.
  /// - Throws: what ``BodyFraming`` and the expectation refuse.
  public init(
    _ head: RequestHead, bytes: ArraySlice<UInt8>,
    resolve: (RequestHead, BodyFraming) -> (any AnyObject & Sendable)?
  ) throws(FramingError) {
    let framing = try BodyFraming(of: head)
    expectsContinue = try head.expectation() == .continueResponse
    wantsKeepAlive = head.wantsKeepAlive
    self.bytes = Array(bytes)
    self.framing = framing
    var head = head
    head.resolution = resolve(head, framing)
    self.head = head
  }

  func isPrefix(of message: RawSpan) -> Bool {
    let bytes = bytes
    return message.begins(with: bytes.span.bytes)
  }
}

/// The last few heads that came: clients repeat themselves byte for byte.
///
/// Reading a head is a function of its bytes, and so is everything in ``KnownHead``; whoever sends the same bytes
/// again gets the same value without a byte being judged again. What may change with time, such as whether a key is
/// still valid, is never part of it.
public struct RecentHeads: Sendable {
  private static let maximumCount = 8
  /// Longer ones are rare, and would be held for nothing.
  private static let maximumBytes = 2 << 10

  private var heads: [KnownHead] = []
  private var oldest = 0
  private var lastFound = 0

  public init() { heads.reserveCapacity(Self.maximumCount) }

  /// The head that `buffer[start...]` begins with, if it came before.
  public mutating func match(_ buffer: [UInt8], from start: Int) -> KnownHead? {
    let bytes = buffer.span.bytes.extracting(start..<buffer.count)
    if lastFound < heads.count, heads[lastFound].isPrefix(of: bytes) { return heads[lastFound] }
    for index in heads.indices where heads[index].isPrefix(of: bytes) {
      lastFound = index
      return heads[index]
    }
    return nil
  }

  /// Remembers a head in the place of the one that has been here longest.
  public mutating func remember(_ head: KnownHead) {
    guard head.byteCount <= Self.maximumBytes else { return }
    guard heads.count == Self.maximumCount else { return heads.append(head) }
    heads[oldest] = head
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
}
