import HTTP1
import JSON

/// One answered request as a server span of OpenTelemetry.
struct Span: Sendable {
  /// Never 0, either half may be.
  let trace: (high: UInt64, low: UInt64)
  let id: UInt64
  /// The caller's span; nil for the first of a trace.
  let parent: UInt64?
  /// As the caller sent it, for the systems that it names.
  let traceState: String
  /// Nanoseconds since 1970.
  let end: Int64
  let exchange: Exchange
  let route: String?

  var start: Int64 { end &- exchange.totalNanoseconds }

  /// What a response's annotations about its phases begin with; the value is nanoseconds.
  static let phasePrefix = "phase:"

  /// As OTLP writes it in JSON (opentelemetry-proto, "JSON Protobuf Encoding"): ids in hexadecimal, 64-bit integers as text.
  var json: JSONValue {
    var members: [JSONObject.Member] = [
      .init(name: "traceId", value: .string(Hexadecimal.text(trace.high) + Hexadecimal.text(trace.low))),
      .init(name: "spanId", value: .string(Hexadecimal.text(id))),
    ]
    if let parent { members.append(.init(name: "parentSpanId", value: .string(Hexadecimal.text(parent)))) }
    if !traceState.isEmpty { members.append(.init(name: "traceState", value: .string(traceState))) }
    let method = exchange.head.map { Metrics.label(ofMethod: $0.method) } ?? "none"
    members += [
      .init(name: "name", value: .string(route.map { "\(method) \($0)" } ?? method)),
      .init(name: "kind", value: .integer(Self.serverKind)),
      .init(name: "startTimeUnixNano", value: .string(String(start))),
      .init(name: "endTimeUnixNano", value: .string(String(end))),
      .init(name: "attributes", value: .array(attributes(method: method).map(\.json))),
      .init(name: "events", value: .array(events)),
      .init(name: "status", value: exchange.status >= 500 ? ["code": .integer(Self.errorCode)] : [:]),
    ]
    return .object(JSONObject(distinctMembers: members))
  }

  /// SPAN_KIND_SERVER and STATUS_CODE_ERROR.
  private static let serverKind = 2
  private static let errorCode = 2

  /// By the semantic conventions for HTTP servers; what is ours begins with `crop.`.
  private func attributes(method: String) -> [TelemetryAttribute] {
    var attributes = [
      TelemetryAttribute("http.request.method", method),
      TelemetryAttribute("http.response.status_code", exchange.status),
      TelemetryAttribute("http.request.body.size", exchange.bodyBytesReceived),
      TelemetryAttribute("http.response.size", exchange.bytesSent),
      TelemetryAttribute("network.peer.address", exchange.remoteAddress),
    ]
    if let route { attributes.append(TelemetryAttribute("http.route", route)) }
    if exchange.status >= 500 { attributes.append(TelemetryAttribute("error.type", String(exchange.status))) }
    if exchange.isBroken { attributes.append(TelemetryAttribute("crop.broken", "true")) }
    for annotation in exchange.annotations
    where !annotation.name.hasPrefix(Self.phasePrefix) && annotation.name != "trace" {
      let name = annotation.name == "id" ? "crop.request_id" : "crop.\(annotation.name)"
      if annotation.name != "id", let count = Int(annotation.value) {
        attributes.append(TelemetryAttribute(name, count))
      } else {
        attributes.append(TelemetryAttribute(name, annotation.value))
      }
    }
    return attributes
  }

  /// The phases in the order in which they began, each at its beginning and with its length.
  private var events: [JSONValue] {
    var events: [JSONValue] = []
    var moment = start
    func add(_ name: String, _ nanoseconds: Int64) {
      events.append([
        "timeUnixNano": .string(String(moment)), "name": .string(name),
        "attributes": .array([TelemetryAttribute("crop.duration_ns", Int(nanoseconds)).json]),
      ])
      moment &+= nanoseconds
    }
    add("receive", exchange.receiveNanoseconds)
    let waited =
      exchange.totalNanoseconds &- exchange.receiveNanoseconds &- exchange.respondNanoseconds
      &- exchange.writeNanoseconds
    if waited > 0 { add("wait", waited) }
    for annotation in exchange.annotations where annotation.name.hasPrefix(Self.phasePrefix) {
      let name = String(annotation.name.dropFirst(Self.phasePrefix.count))
      if name != "receive", let nanoseconds = Int64(annotation.value) { add(name, nanoseconds) }
    }
    moment = end &- exchange.writeNanoseconds
    add("write", exchange.writeNanoseconds)
    return events
  }
}

/// A name with a text or a whole number, as OTLP writes it.
struct TelemetryAttribute: Sendable {
  let json: JSONValue

  init(_ name: String, _ value: String) {
    json = ["key": .string(name), "value": ["stringValue": .string(value)]]
  }

  init(_ name: String, _ value: Int) {
    json = ["key": .string(name), "value": ["intValue": .string(String(value))]]
  }
}

/// Ids of traces, spans and requests.
enum Hexadecimal {
  /// Sixteen digits.
  static func append(_ number: UInt64, to output: inout [UInt8]) {
    output.append(addingCapacity: 16) { digits in
      var rest = number
      for _ in 0..<16 {
        // The highest digit that is left, first.
        rest = rest &<< 4 | rest &>> 60
        let digit = UInt8(truncatingIfNeeded: rest & 15)
        digits.append(digit < 10 ? UInt8(ascii: "0") &+ digit : UInt8(ascii: "a") &- 10 &+ digit)
      }
    }
  }

  static func text(_ number: UInt64) -> String {
    var digits: [UInt8] = []
    append(number, to: &digits)
    return String(decoding: digits, as: UTF8.self)
  }

  /// - Precondition: up to sixteen digits, in lower case.
  static func number(_ digits: ArraySlice<UInt8>) -> UInt64 {
    digits.reduce(0) { $0 &<< 4 | UInt64($1 >= UInt8(ascii: "a") ? $1 &- UInt8(ascii: "a") &+ 10 : $1 & 15) }
  }
}
