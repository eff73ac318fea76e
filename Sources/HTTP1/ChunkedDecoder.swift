/// Decodes the chunked transfer coding in the buffer it was received into (RFC 9112 section 7.1).
///
/// Like the parser it judges each byte once and in order, so its outcome does not depend on how the bytes were cut.
public struct ChunkedDecoder: Sendable {
  public enum Progress: Sendable, Equatable {
    /// All raw bytes are consumed: the buffer now ends at `decodedCount`.
    case needsMoreBytes
    /// The body is whole; the last `trailing` bytes of the buffer belong to the next message.
    case complete(trailing: Int)
  }

  private enum Stage {
    case size, sizePadding, chunkExtension, sizeLineFeed
    case data, dataReturn, dataLineFeed
    case trailerStart, trailerName, trailerValue, trailerLineFeed, finalLineFeed
    case finished
  }

  /// `buffer[..<decodedCount]` is body.
  public private(set) var decodedCount = 0
  /// Body bytes that ``forgetDecoded()`` took out of the count.
  private var forgottenCount = 0

  private let limits: HTTPLimits
  private let maximumBodyBytes: Int
  private var stage = Stage.size
  /// While a size is read: its value so far. While data is read: what is left of the chunk.
  private var remaining = 0
  private var sizeDigits = 0
  private var extensionBytes = 0
  private var trailerBytes = 0
  private var overhead = 0

  public init(limits: HTTPLimits = .init(), maximumBodyBytes: Int) {
    self.limits = limits
    self.maximumBodyBytes = maximumBodyBytes
  }

  /// Decodes what was appended since the last call and moves it next to what was decoded before.
  ///
  /// - Parameter buffer: `decodedCount` bytes of body, then raw bytes just received.
  /// - Throws: 413 at the size digit with which the body would outgrow its maximum, 431 when the trailers are too
  ///   long, 400 for any other violation. The buffer's content is unspecified then.
  /// - Complexity: linear in the raw bytes; body bytes are moved once, as blocks.
  public mutating func decode(_ buffer: inout [UInt8]) throws(FramingError) -> Progress {
    var position = decodedCount
    while position < buffer.count, stage != .finished {
      if stage == .data {
        let count = min(remaining, buffer.count - position)
        Self.move(&buffer, from: position, to: decodedCount, count: count)
        position += count
        decodedCount += count
        remaining -= count
        if remaining == 0 { stage = .dataReturn }
      } else {
        try consume(buffer[position])
        position += 1
      }
    }
    let trailing = buffer.count - position
    Self.move(&buffer, from: position, to: decodedCount, count: trailing)
    buffer.removeLast(position - decodedCount)
    return stage == .finished ? .complete(trailing: trailing) : .needsMoreBytes
  }

  /// Starts over with an empty buffer, amidst the same body: the caller took out what was decoded.
  public mutating func forgetDecoded() {
    forgottenCount += decodedCount
    decodedCount = 0
  }

  private static func move(_ buffer: inout [UInt8], from source: Int, to target: Int, count: Int) {
    guard count > 0, source != target else { return }
    buffer.withUnsafeMutableBytes { bytes in
      UnsafeMutableRawBufferPointer(rebasing: bytes[target..<target + count])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[source..<source + count]))
    }
  }

  /// Judges one byte of framing.
  private mutating func consume(_ byte: UInt8) throws(FramingError) {
    overhead += 1
    switch stage {
    case .size, .sizePadding, .chunkExtension: try consumeSizeLine(byte)
    case .sizeLineFeed:
      try require(byte, ASCII.lineFeed, "the chunk size must end with CRLF")
      try checkOverhead()
      stage = remaining == 0 ? .trailerStart : .data
    case .dataReturn:
      try require(
        byte, ASCII.carriageReturn, "chunk data must end with CRLF after as many bytes as announced")
      stage = .dataLineFeed
    case .dataLineFeed:
      try require(byte, ASCII.lineFeed, "chunk data must end with CRLF after as many bytes as announced")
      (stage, sizeDigits, extensionBytes) = (.size, 0, 0)
    case .trailerStart, .trailerName, .trailerValue, .trailerLineFeed, .finalLineFeed:
      try consumeTrailer(byte)
    case .data, .finished: preconditionFailure("data is moved as a block and nothing follows the end")
    }
  }

  private mutating func consumeSizeLine(_ byte: UInt8) throws(FramingError) {
    if stage == .size, let digit = ASCII.hexadecimal(byte) { return try addSizeDigit(digit) }
    guard sizeDigits > 0 else { throw FramingError("a chunk must begin with its size in hexadecimal digits") }
    if byte == ASCII.carriageReturn, stage != .sizePadding {
      stage = .sizeLineFeed
      return
    }
    extensionBytes += 1
    guard extensionBytes <= limits.chunkExtensionBytes else {
      throw FramingError("a chunk extension exceeds \(limits.chunkExtensionBytes) bytes")
    }
    if stage == .chunkExtension {
      // Section 7.1.1: unrecognised extensions are ignored, whatever their form, but not control bytes in them.
      guard ASCII.isText(byte) else {
        throw FramingError("a chunk extension must not contain \(ASCII.describe(byte))")
      }
    } else if byte == UInt8(ascii: ";") {
      stage = .chunkExtension
    } else if ASCII.isWhitespace(byte) {
      stage = .sizePadding  // only an extension may follow
    } else {
      throw FramingError("a chunk size must not contain \(ASCII.describe(byte))")
    }
  }

  private mutating func addSizeDigit(_ digit: Int) throws(FramingError) {
    if sizeDigits == 0 { remaining = 0 }
    sizeDigits += 1
    // Section 7.1 requires care about large sizes: sixteen digits hold any, and more are padding.
    guard sizeDigits <= 16 else { throw FramingError("a chunk size must have at most 16 digits") }
    let (shifted, overflowed) = remaining.multipliedReportingOverflow(by: 16)
    let (size, carried) = shifted.addingReportingOverflow(digit)
    guard !overflowed, !carried, size <= maximumBodyBytes - forgottenCount - decodedCount else {
      throw FramingError(413, "the chunked body exceeds \(maximumBodyBytes) bytes")
    }
    remaining = size
  }

  /// Chunks of a few bytes make the server read many times what it keeps.
  private func checkOverhead() throws(FramingError) {
    guard overhead > limits.chunkOverheadBytes else { return }
    guard forgottenCount + decodedCount >= overhead / 3 else {
      throw FramingError("too little of the chunked body is data; send larger chunks")
    }
  }

  /// Trailers must be well-formed header lines; then they are dropped (section 7.1.2 allows it).
  private mutating func consumeTrailer(_ byte: UInt8) throws(FramingError) {
    trailerBytes += 1
    guard trailerBytes <= limits.trailerBytes else {
      throw FramingError(431, "the trailer section exceeds \(limits.trailerBytes) bytes")
    }
    switch stage {
    case .trailerStart where byte == ASCII.carriageReturn: stage = .finalLineFeed
    case .trailerStart, .trailerName:
      if byte == UInt8(ascii: ":"), stage == .trailerName {
        stage = .trailerValue
      } else {
        guard ASCII.isToken(byte) else {
          throw FramingError("a trailer field name must not contain \(ASCII.describe(byte))")
        }
        stage = .trailerName
      }
    case .trailerValue:
      if byte == ASCII.carriageReturn {
        stage = .trailerLineFeed
      } else {
        guard ASCII.isText(byte) else {
          throw FramingError("a trailer field must not contain \(ASCII.describe(byte))")
        }
      }
    case .trailerLineFeed:
      try require(byte, ASCII.lineFeed, "CR must be followed by LF")
      stage = .trailerStart
    default:
      try require(byte, ASCII.lineFeed, "the chunked body must end with an empty line")
      stage = .finished
    }
  }

  private func require(_ byte: UInt8, _ expected: UInt8, _ rule: String) throws(FramingError) {
    guard byte == expected else { throw FramingError("\(rule), not with \(ASCII.describe(byte))") }
  }
}
