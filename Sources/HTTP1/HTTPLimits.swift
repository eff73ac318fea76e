/// How much of a message is read before it is rejected; each is enforced at the byte that crosses it.
public struct HTTPLimits: Sendable, Equatable {
  /// The request line without its CRLF; beyond it 414. RFC 9112 section 3 asks for at least 8,000 bytes;
  /// nginx and Apache allow 8 KiB.
  public var requestLineBytes: Int
  /// Everything up to and including the empty line; beyond it 431. Tomcat, IIS and h11 stop at 8-64 KiB.
  public var headBytes: Int
  /// Field lines; beyond it 431. Apache and nginx-derived proxies stop at 100-200.
  public var fieldCount: Int
  /// What follows the size on one chunk's size line; beyond it 400. Known signers need about 90 bytes.
  public var chunkExtensionBytes: Int
  /// The trailer section behind the last chunk, with its final CRLF; beyond it 431.
  public var trailerBytes: Int
  /// Bytes of chunk framing that are accepted whatever the body's size; beyond it at least a quarter of all
  /// bytes must be body (the rule of picohttpparser, whose allowance is also 100 KiB), else 400.
  public var chunkOverheadBytes: Int

  public init(
    requestLineBytes: Int = 8192, headBytes: Int = 65_536, fieldCount: Int = 200,
    chunkExtensionBytes: Int = 256, trailerBytes: Int = 8192, chunkOverheadBytes: Int = 102_400
  ) {
    self.requestLineBytes = requestLineBytes
    self.headBytes = headBytes
    self.fieldCount = fieldCount
    self.chunkExtensionBytes = chunkExtensionBytes
    self.trailerBytes = trailerBytes
    self.chunkOverheadBytes = chunkOverheadBytes
  }
}
