/// One response on its way out: the head with a small body behind it, or the head and a large body from where it is.
struct ResponseWriter {
  /// Head, and small body.
  private var head: [UInt8] = []
  private var body: [UInt8] = []
  private var isBodyShared = false
  private(set) var sentCount = 0

  enum Progress: Equatable {
    case complete
    case wouldBlock
    case failed
  }

  var isEmpty: Bool { head.isEmpty }

  /// - Parameter head: has room; a body that fits rides along with it in one packet.
  mutating func begin(head: consuming [UInt8], body: [UInt8], isBodyShared: Bool = false) {
    self.isBodyShared = isBodyShared
    if body.count <= head.capacity - head.count {
      head.append(contentsOf: body)
    } else {
      self.body = body
    }
    self.head = consume head
    sentCount = 0
  }

  /// Sends until all is out of this program or the socket takes no more.
  mutating func write(to stream: any ByteStream) -> Progress {
    let total = head.count + body.count
    while sentCount < total {
      let first = head[min(sentCount, head.count)...]
      let second = body[max(0, sentCount - head.count)...]
      switch first.isEmpty ? stream.write(second, []) : stream.write(first, second) {
      case .bytes(let count): sentCount += count
      case .wouldBlock: return .wouldBlock
      case .failed: return .failed
      }
    }
    // Encrypted bytes may still wait inside the stream, and closing now would cut them off.
    switch stream.flush() {
    case .bytes: return .complete
    case .wouldBlock: return .wouldBlock
    case .failed: return .failed
    }
  }

  /// The memory of what is left to send.
  var heldBytes: Int { head.capacity + (isBodyShared ? 0 : body.capacity) }

  /// Keeps no more of the head's buffer than is needed, and hands it back: the answer waits for its client.
  mutating func shrink() -> [UInt8] {
    guard head.capacity > 2 * head.count else { return [] }
    var exact = head.withUnsafeBytes { Array($0) }
    swap(&exact, &head)
    return exact
  }

  /// Forgets the response and hands the head's buffer back.
  mutating func end() -> [UInt8] {
    var taken: [UInt8] = []
    swap(&taken, &head)
    body = []
    sentCount = 0
    return taken
  }
}
