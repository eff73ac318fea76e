import HTTP1

/// What a connection makes of the bytes it receives, in order.
enum Outcome: Sendable, Equatable {
  case head(RequestHead, BodyFraming)
  case body([UInt8])
  case refused(FramingError)
}

/// The smallest connection there is: feeds pieces of any size to the parser and the decoder.
struct MessageReader {
  private enum Stage {
    case head
    case body(length: Int)
    case chunks(ChunkedDecoder)
    case refused
  }

  private(set) var outcomes: [Outcome] = []
  /// Bytes not yet part of an outcome.
  private(set) var buffer: [UInt8] = []
  private var stage = Stage.head
  private var parser: RequestParser
  private let limits: HTTPLimits
  private let maximumBodyBytes: Int

  init(limits: HTTPLimits = .init(), maximumBodyBytes: Int = 1000) {
    self.limits = limits
    self.maximumBodyBytes = maximumBodyBytes
    parser = RequestParser(limits: limits)
  }

  /// All outcomes of an input cut at the given offsets, which ascend.
  static func outcomes(
    of input: [UInt8], cutAt cuts: [Int] = [], limits: HTTPLimits = .init(), maximumBodyBytes: Int = 1000
  ) -> [Outcome] {
    var reader = MessageReader(limits: limits, maximumBodyBytes: maximumBodyBytes)
    var start = 0
    for end in cuts + [input.count] {
      reader.receive(input[start..<end])
      start = end
    }
    return reader.outcomes
  }

  mutating func receive(_ piece: ArraySlice<UInt8>) {
    buffer.append(contentsOf: piece)
    do throws(FramingError) {
      while try advance() {}
    } catch {
      outcomes.append(.refused(error))
      stage = .refused
    }
  }

  private mutating func advance() throws(FramingError) -> Bool {
    switch stage {
    case .head:
      guard case .head(let head, let byteCount) = try parser.parse(buffer) else { return false }
      buffer.removeFirst(byteCount)
      let framing = try BodyFraming(of: head)
      outcomes.append(.head(head, framing))
      switch framing {
      case .none, .shared: break
      case .length(let length):
        guard length <= maximumBodyBytes else { throw FramingError(413, "too long") }
        stage = .body(length: length)
      case .chunked: stage = .chunks(ChunkedDecoder(limits: limits, maximumBodyBytes: maximumBodyBytes))
      }
      return true
    case .body(let length):
      guard buffer.count >= length else { return false }
      outcomes.append(.body(Array(buffer.prefix(length))))
      buffer.removeFirst(length)
      stage = .head
      return true
    case .chunks(var decoder):
      let progress = try decoder.decode(&buffer)
      guard case .complete(let trailing) = progress else {
        stage = .chunks(decoder)
        return false
      }
      outcomes.append(.body(Array(buffer.dropLast(trailing))))
      buffer.removeFirst(buffer.count - trailing)
      stage = .head
      return true
    case .refused: return false
    }
  }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the only source of chance in these tests, and a repeatable one.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}

extension HeaderFields {
  /// The value of the first field line with this name.
  func first(_ name: String) -> String? { values(name).first.map { String(decoding: $0, as: UTF8.self) } }
}
