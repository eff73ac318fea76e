import ContentCodings
import HTTP1

extension FuzzTarget {
  /// Coded bodies: gzip and deflate undone piece by piece, within a limit, into buffers of any room.
  static let contentCoding = FuzzTarget("content-coding", maximumBytes: 1024) { bytes throws(BrokenLaw) in
    for coding in ContentCoding.allCases {
      let whole = CodingOutcome.of(bytes, coding, deliveredIn: [bytes.count], room: CodingOutcome.limit)
      let room = 1 + Int(Cuts.fingerprint(bytes) >> 8 & 63)
      let inPieces = CodingOutcome.of(bytes, coding, deliveredIn: Cuts.chosen(by: bytes), room: room)
      try require(whole.sameVerdict(as: inPieces), "neither cuts nor room change the outcome")
      if case .body(let body) = whole {
        try require(body.count <= CodingOutcome.limit, "a body stays within its limit")
      }
    }
    // What is coded here can be undone here; one in eight, since starting to compress takes long.
    guard Cuts.fingerprint(bytes) & 7 == 0 else { return }
    guard let coded = Deflater.encoded(bytes) else { throw BrokenLaw("bytes can be compressed") }
    let undone = CodingOutcome.of(coded, .gzip, deliveredIn: Cuts.chosen(by: coded), room: 100)
    try require(undone == .body(bytes), "what is compressed comes back")
  }
}

enum CodingOutcome: Equatable {
  case body([UInt8])
  case refused(ContentCodingError)

  static let limit = 2000

  static func of(
    _ bytes: [UInt8], _ coding: ContentCoding, deliveredIn ends: some Sequence<Int>, room: Int
  ) -> CodingOutcome {
    let inflater = Inflater(coding, maximumOutputBytes: limit)
    var body: [UInt8] = []
    var output: [UInt8] = []
    var received = 0
    do throws(ContentCodingError) {
      for end in ends {
        var piece = bytes[received..<end]
        received = end
        repeat {
          output.reserveCapacity(room)
          let (consumed, step) = try inflater.decode(piece, into: &output)
          piece = piece.dropFirst(consumed)
          if step == .needsRoom || piece.isEmpty {
            body += output
            output = []
          }
        } while !piece.isEmpty
      }
      try inflater.finish()
      return .body(body)
    } catch {
      return .refused(error)
    }
  }

  /// Damage is described in zlib's words, which tell no more than that it is damage. And damage in the last byte, met
  /// just as the room is used up, is not looked at before more bytes come: to a reader without them the stream is cut off.
  func sameVerdict(as other: CodingOutcome) -> Bool { isDamaged && other.isDamaged || self == other }

  private var isDamaged: Bool {
    switch self {
    case .refused(.corrupt), .refused(.truncated): true
    case .refused, .body: false
    }
  }
}
