import HTTP1
import Synchronization

/// What ties an answer to its request across systems: `X-Request-Id` and W3C Trace Context.
struct RequestIdentity: Sendable {
  /// What the client said, as far as it is accepted: as it stands in the head, since it is written back unchanged.
  ///
  /// A field that came twice is nobody's: no one could tell which one was meant.
  struct Given: Sendable {
    let requestID: ArraySlice<UInt8>?
    /// Echoed only when well-formed (https://www.w3.org/TR/trace-context/ section 3.2).
    let traceparent: ArraySlice<UInt8>?

    init(_ head: RequestHead?) {
      let fields = head?.fields
      requestID = fields?.single("x-request-id").flatMap { RequestIdentity.isAcceptable($0) ? $0 : nil }
      traceparent = fields?.single("traceparent").flatMap { RequestIdentity.isTraceparent($0) ? $0 : nil }
    }

    /// The 32 digits of the trace, for the access log: what a tracing system finds the request by.
    var traceID: String? {
      traceparent.map { String(decoding: $0.dropFirst("00-".utf8.count).prefix(32), as: UTF8.self) }
    }
  }

  private let given: Given
  /// Where the client gave none.
  private lazy var ownID = Self.fresh()

  init(_ given: Given) { self.given = given }

  var requestID: String {
    mutating get {
      given.requestID.map { String(decoding: $0, as: UTF8.self) } ?? String(decoding: ownID, as: UTF8.self)
    }
  }

  /// Writes the field lines that name the request.
  mutating func write(to lines: inout [UInt8]) {
    lines.append(contentsOf: "X-Request-Id: ".utf8)
    if let id = given.requestID { lines.append(contentsOf: id) } else { lines.append(contentsOf: ownID) }
    lines.append(contentsOf: "\r\n".utf8)
    if let traceparent = given.traceparent {
      lines.append(contentsOf: "traceparent: ".utf8)
      lines.append(contentsOf: traceparent)
      lines.append(contentsOf: "\r\n".utf8)
    }
  }

  /// The same for the access log.
  mutating func annotate(_ response: inout Response) {
    response.annotations.insert(Response.Field("id", requestID), at: 0)
    if let traceID = given.traceID { response.annotations.append(Response.Field("trace", traceID)) }
  }

  /// A client's id is taken as it is, or not at all: a changed one would tie nothing together.
  private static func isAcceptable(_ id: ArraySlice<UInt8>) -> Bool {
    !id.isEmpty && id.count <= 128 && id.allSatisfy(isVisible)
  }

  private static func isVisible(_ byte: UInt8) -> Bool { byte > 0x20 && byte < 0x7f }

  /// Unique, not secret: a random number of this process and a count, without a system call per request. 32 hexadecimal
  /// digits.
  private static func fresh() -> [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(32)
    text.append(contentsOf: process)
    Hexadecimal.append(counter.add(1, ordering: .relaxed).newValue, to: &text)
    return text
  }

  private static let process: [UInt8] = {
    var digits: [UInt8] = []
    Hexadecimal.append(UInt64.random(in: 0...UInt64.max), to: &digits)
    return digits
  }()
  private static let counter = Atomic<UInt64>(0)

  /// Whether the caller records the trace: the lowest bit of the flags (section 3.2.2.5.1).
  ///
  /// - Precondition: `traceparent` is well-formed.
  static func isSampled(_ traceparent: ArraySlice<UInt8>) -> Bool {
    let flags = traceparent.dropFirst("00-".utf8.count + 32 + 1 + 16 + 1).prefix(2)
    return Hexadecimal.number(flags) & 1 == 1
  }

  private static func isTraceparent(_ text: ArraySlice<UInt8>) -> Bool {
    let (dash, zero) = (UInt8(ascii: "-"), UInt8(ascii: "0"))
    // Two, thirty-two, sixteen and two digits, with dashes between.
    guard (55...512).contains(text.count) else { return false }
    let start = text.startIndex
    let (version, trace, parent, flags) = (
      text[start..<(start + 2)], text[(start + 3)..<(start + 35)], text[(start + 36)..<(start + 52)],
      text[(start + 53)..<(start + 55)]
    )
    guard text[start + 2] == dash, text[start + 35] == dash, text[start + 52] == dash,
      version.allSatisfy(isHexadecimal), trace.allSatisfy(isHexadecimal), parent.allSatisfy(isHexadecimal),
      flags.allSatisfy(isHexadecimal), !trace.allSatisfy({ $0 == zero }), !parent.allSatisfy({ $0 == zero })
    else { return false }
    // Version 00 has exactly four parts; later ones may append more, ff is forbidden.
    let rest = text[(start + 55)...]
    if version.allSatisfy({ $0 == zero }) { return rest.isEmpty }
    return !version.allSatisfy { $0 == UInt8(ascii: "f") }
      && (rest.isEmpty || rest.first == dash && rest.allSatisfy(isVisible))
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66)
  }
}
