import HTTP1
import Synchronization

/// What ties an answer to its request across systems: `X-Request-Id` and W3C Trace Context.
struct RequestIdentity: Sendable {
  let requestID: String
  /// Echoed only when well-formed (https://www.w3.org/TR/trace-context/ section 3.2).
  let traceparent: String?

  init(_ head: RequestHead?) {
    requestID = Self.only("x-request-id", of: head).flatMap(Self.acceptable) ?? Self.fresh()
    traceparent = Self.only("traceparent", of: head).flatMap { Self.isTraceparent($0) ? $0 : nil }
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
    processID + hexadecimal(counter.add(1, ordering: .relaxed).newValue)
  }

  private static let processID = hexadecimal(UInt64.random(in: 0...UInt64.max))
  private static let counter = Atomic<UInt64>(0)

  private static func hexadecimal(_ number: UInt64) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: 16 - text.utf8.count) + text
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
