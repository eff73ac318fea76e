import HTTP1
import Synchronization

/// What ties an answer to its request across systems: `X-Request-Id` and W3C Trace Context.
struct RequestIdentity: Sendable {
  /// What the client said, as far as it is accepted.
  struct Given: Sendable {
    let requestID: String?
    /// Echoed only when well-formed (https://www.w3.org/TR/trace-context/ section 3.2).
    let traceparent: String?

    init(_ head: RequestHead?) {
      requestID = RequestIdentity.only("x-request-id", of: head).flatMap(RequestIdentity.acceptable)
      traceparent = RequestIdentity.only("traceparent", of: head).flatMap {
        RequestIdentity.isTraceparent($0) ? $0 : nil
      }
    }

    var isEmpty: Bool { requestID == nil && traceparent == nil }
  }

  let requestID: String
  let traceparent: String?

  init(_ given: Given) {
    requestID = given.requestID ?? Self.fresh()
    traceparent = given.traceparent
  }

  /// The field's value, nil when it came twice: nobody could tell which one was meant.
  private static func only(_ name: String, of head: RequestHead?) -> String? {
    guard let values = head?.fields.values(name), values.count == 1 else { return nil }
    return String(validating: values[0], as: UTF8.self)
  }

  func stamp(_ response: inout Response) {
    response.fields.append(Response.Field("X-Request-Id", requestID))
    if let traceparent { response.fields.append(Response.Field("traceparent", traceparent)) }
    response.annotations.insert(Response.Field("id", requestID), at: 0)
  }

  /// A client's id is taken as it is, or not at all: a changed one would tie nothing together.
  private static func acceptable(_ text: String) -> String? {
    let bytes = text.utf8
    return !bytes.isEmpty && bytes.count <= 128 && bytes.allSatisfy { $0 > 0x20 && $0 < 0x7f } ? text : nil
  }

  /// Unique, not secret: a random number of this process and a count, without a system call per request.
  private static func fresh() -> String {
    var text: [UInt8] = []
    appendFresh(to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Writes such an id, 32 hexadecimal digits.
  static func appendFresh(to output: inout [UInt8]) {
    appendHexadecimal(processID, to: &output)
    appendHexadecimal(counter.add(1, ordering: .relaxed).newValue, to: &output)
  }

  private static let processID = UInt64.random(in: 0...UInt64.max)
  private static let counter = Atomic<UInt64>(0)

  private static func appendHexadecimal(_ number: UInt64, to output: inout [UInt8]) {
    for shift in stride(from: 60, through: 0, by: -4) {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift)) & 15
      output.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit)
    }
  }

  private static func isTraceparent(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[0].count == 2, parts[1].count == 32, parts[2].count == 16,
      parts[3].count == 2
    else { return false }
    // Version 00 has exactly four parts; later ones may append more, ff is forbidden.
    if parts[0].elementsEqual("00".utf8), parts.count != 4 { return false }
    let isHexadecimal = parts.prefix(4).allSatisfy { part in
      part.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x66) }
    }
    let isZero = [parts[1], parts[2]].contains { part in part.allSatisfy { $0 == 0x30 } }
    return isHexadecimal && !isZero && !parts[0].elementsEqual("ff".utf8) && text.utf8.count <= 512
      && parts.dropFirst(4).allSatisfy { part in part.allSatisfy { $0 > 0x20 && $0 < 0x7f } }
  }
}
