import HTTP1

extension FuzzTarget {
  /// The request line and the header fields: RequestParser, and everything that reads a RequestHead.
  static let requestHead = FuzzTarget("request-head", maximumBytes: 2048) { bytes throws(BrokenLaw) in
    let whole = HeadOutcome.of(bytes, deliveredIn: [bytes.count])
    try require(whole == .of(bytes, deliveredIn: Cuts.chosen(by: bytes)), "cuts do not change the outcome")
    try require(whole == .of(bytes, deliveredIn: Cuts.bytewise(bytes)), "bytewise delivery changes nothing")
    guard case .head(let head, let byteCount) = whole else { return }
    try require(byteCount <= bytes.count, "a head ends within its bytes")
    try HeadReading.check(head, Array(bytes[..<byteCount]))
    let rewritten = HeadReading.rewritten(head)
    try require(
      HeadOutcome.of(rewritten, limits: .init(), deliveredIn: [rewritten.count])
        == .head(head, byteCount: rewritten.count), "a head written again is read as the same")
    try HeadReading.checkFraming(head)
    _ = (try? head.expectation(), head.wantsKeepAlive, head.contentType, head.contentCodings)
  }
}

extension HTTPLimits {
  /// So low that short inputs reach them.
  static let low = HTTPLimits(
    requestLineBytes: 256, headBytes: 1024, fieldCount: 12, chunkExtensionBytes: 16, trailerBytes: 64,
    chunkOverheadBytes: 128)
}

enum HeadOutcome: Equatable {
  case incomplete
  case head(RequestHead, byteCount: Int)
  case refused(FramingError)

  static func of(
    _ bytes: [UInt8], limits: HTTPLimits = .low, deliveredIn ends: some Sequence<Int>
  ) -> HeadOutcome {
    var parser = RequestParser(limits: limits)
    for end in ends {
      do throws(FramingError) {
        let event = try parser.parse(bytes.span.bytes.extracting(0..<end))
        if case .head(let head, let byteCount) = event { return .head(head, byteCount: byteCount) }
      } catch {
        return .refused(error)
      }
    }
    return .incomplete
  }
}

/// A second, simple-minded reading of heads that were accepted: no two readers may see different requests in them.
private enum HeadReading {
  private static let lineEnd = UInt8(ascii: "\n")

  static func check(_ head: RequestHead, _ received: [UInt8]) throws(BrokenLaw) {
    var bytes = received
    if bytes.starts(with: "\r\n".utf8) { bytes.removeFirst(2) }
    var lines = bytes.split(separator: lineEnd, omittingEmptySubsequences: false)
    try require(lines.removeLast().isEmpty, "a head ends with LF")
    try require(lines.allSatisfy { $0.last == UInt8(ascii: "\r") }, "every LF stands behind a CR")
    try require(
      !lines.contains { $0.dropLast().contains { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f } },
      "no control byte stands inside a line")
    try require(
      lines.last?.count == 1 && !lines.dropLast().contains { $0.count == 1 }, "the first empty line ends it")
    let requestLine = String(decoding: lines[0].dropLast(), as: UTF8.self)
    try require(
      requestLine.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false).count == 3
        && requestLine.hasPrefix("\(head.method) \(head.target) HTTP/1."), "the request line says the same")
    let fields = lines.dropFirst().dropLast().map { line in
      let name = line.prefix { $0 != UInt8(ascii: ":") }
      var value = line[name.endIndex...].dropFirst()
      while let first = value.first, first == 0x20 || first == 0x09 { value.removeFirst() }
      while let last = value.last, last == 0x20 || last == 0x09 || last == 0x0d { value.removeLast() }
      return (String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self))
    }
    try require(
      fields.count == head.fields.all.count && zip(fields, head.fields.all).allSatisfy { $0 == $1 },
      "the header lines say the same")
  }

  static func rewritten(_ head: RequestHead) -> [UInt8] {
    var bytes = Array("\(head.method) \(head.target) HTTP/1.\(head.version == .http10 ? 0 : 1)\r\n".utf8)
    for (name, value) in zip(head.fields.all.map(\.name), values(head)) {
      bytes += Array(name.utf8) + Array(": ".utf8) + value + Array("\r\n".utf8)
    }
    return bytes + Array("\r\n".utf8)
  }

  /// Values as bytes, which need not be UTF-8: the n-th of a name for the n-th line with that name.
  private static func values(_ head: RequestHead) -> [ArraySlice<UInt8>] {
    var seen: [String: Int] = [:]
    return head.fields.all.map { field in
      let name = field.name.lowercased()
      defer { seen[name, default: 0] += 1 }
      return head.fields.values(name)[seen[name, default: 0]]
    }
  }

  /// The length of a body must be beyond doubt: whatever is accepted is stated once and plainly.
  static func checkFraming(_ head: RequestHead) throws(BrokenLaw) {
    guard let framing = try? BodyFraming(of: head) else { return }
    let lengths = head.fields.all.filter { $0.name.lowercased() == "content-length" }
    let codings = head.fields.all.filter { $0.name.lowercased() == "transfer-encoding" }
    switch framing {
    case .none: try require(lengths.isEmpty && codings.isEmpty, "no body without a word about one")
    case .length(let length):
      try require(
        codings.isEmpty && lengths.count == 1
          && lengths[0].value.utf8.allSatisfy { (0x30...0x39).contains($0) }
          && Int(lengths[0].value) == length,
        "a length is one decimal number and nothing contradicts it")
    case .chunked:
      let members = codings.flatMap { $0.value.split(separator: ",") }
      try require(
        head.version == .http11 && lengths.isEmpty && members.count == 1
          && members[0].filter { $0 != " " && $0 != "\t" }.lowercased() == "chunked",
        "chunked is the only coding and nothing contradicts it")
    case .shared(let reference):
      let fields = head.fields.all.filter { $0.name.lowercased() == SharedMemoryReference.fieldName }
      try require(
        codings.isEmpty && lengths.allSatisfy { Int($0.value) == 0 } && fields.count == 1
          && reference.length >= 0 && reference.offset >= 0 && reference.name != "",
        "a body in shared memory is in one place, and in no other")
    }
  }
}
