import HTTP1

extension FuzzTarget {
  /// The chunked transfer coding.
  static let chunkedBody = FuzzTarget("chunked-body", maximumBytes: 1024) { bytes throws(BrokenLaw) in
    let whole = try ChunkedOutcome.of(bytes, deliveredIn: [bytes.count])
    try require(
      try whole == .of(bytes, deliveredIn: Cuts.chosen(by: bytes)), "cuts do not change the outcome")
    try require(
      try whole == .of(bytes, deliveredIn: Cuts.bytewise(bytes)), "bytewise delivery changes nothing")
    try require(
      try whole == .of(bytes, deliveredIn: Cuts.chosen(by: bytes), takesOut: true),
      "taking out what is decoded changes nothing")
    guard case .body(let body, let trailing) = whole else { return }
    try require(trailing <= bytes.count, "what trails was received")
    try require(
      ChunkedOutcome.reading(bytes).map { $0 == (body, trailing) } ?? false, "a simple reader reads the same")
  }
}

enum ChunkedOutcome: Equatable {
  case incomplete(decoded: [UInt8])
  case body([UInt8], trailing: Int)
  case refused(FramingError)

  static let maximumBodyBytes = 300

  /// - Parameter takesOut: empties the buffer after every piece, as who undoes a content coding does.
  static func of(
    _ bytes: [UInt8], deliveredIn ends: some Sequence<Int>, takesOut: Bool = false
  ) throws(BrokenLaw) -> ChunkedOutcome {
    var taken: [UInt8] = []
    var decoder = ChunkedDecoder(limits: .low, maximumBodyBytes: maximumBodyBytes)
    var buffer: [UInt8] = []
    var received = 0
    for end in ends {
      buffer += bytes[received..<end]
      received = end
      let progress: ChunkedDecoder.Progress
      do throws(FramingError) {
        progress = try decoder.decode(&buffer)
      } catch {
        return .refused(error)
      }
      if case .complete(let trailing) = progress {
        try require(
          decoder.decodedCount == buffer.count - trailing, "the buffer holds body and trailing bytes")
        // Trailing bytes that were not delivered yet belong to the next message as well.
        return .body(taken + buffer.dropLast(trailing), trailing: trailing + bytes.count - received)
      }
      try require(decoder.decodedCount == buffer.count, "all raw bytes are consumed")
      if takesOut {
        taken += buffer
        buffer = []
        decoder.forgetDecoded()
      }
      try require(taken.count + buffer.count <= maximumBodyBytes, "a body stays within its limit")
    }
    return .incomplete(decoded: taken + buffer)
  }

  /// Reads a body that is known to be acceptable.
  static func reading(_ bytes: [UInt8]) -> (body: [UInt8], trailing: Int)? {
    var rest = bytes[...]
    func line() -> ArraySlice<UInt8>? {
      guard let end = rest.firstIndex(of: UInt8(ascii: "\n")), rest[..<end].last == UInt8(ascii: "\r") else {
        return nil
      }
      defer { rest = rest[(end + 1)...] }
      return rest[..<end].dropLast()
    }
    var body: [UInt8] = []
    while let sizeLine = line() {
      let digits = sizeLine.prefix { $0 != UInt8(ascii: ";") && $0 != 0x20 && $0 != 0x09 }
      guard let size = Int(String(decoding: digits, as: UTF8.self), radix: 16), size <= rest.count else {
        return nil
      }
      guard size > 0 else {
        while let trailer = line() { if trailer.isEmpty { return (body, rest.count) } }
        return nil
      }
      body += rest.prefix(size)
      rest = rest.dropFirst(size)
      guard line()?.isEmpty == true else { return nil }
    }
    return nil
  }
}
