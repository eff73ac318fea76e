import HTTP1

// Bodies that do not come over the connection but lie in memory that the client shares. From the copy on they are bodies
// like all others: the same limits, buffers and accounts.

extension Connection {
  /// Where the body of a request lies; nil when that is on the connection, or nowhere.
  ///
  /// Takes the descriptor that came with the head, whatever becomes of the request.
  func sharedBody(of framing: BodyFraming) throws(SharedMemoryError) -> SharedBody? {
    guard case .shared(let reference) = framing else { return nil }
    let whole =
      if let name = reference.name { try registeredMemory(name) } else { try passedMemory() }
    return SharedBody(try whole.part(offset: reference.offset, byteCount: reference.length))
  }

  /// Goes on with a body that was found, or says why it cannot be had.
  func refusal(of body: Result<SharedBody?, SharedMemoryError>) -> Refusal? {
    switch body {
    case .success(let source):
      exchange.source = source
      return nil
    case .failure(let error): return .sharedMemory(error)
    }
  }

  private func registeredMemory(_ name: String) throws(SharedMemoryError) -> SharedExtent {
    guard let extent = try loop.responder.sharedMemory(named: name) else { throw .unknownName(name) }
    return extent
  }

  private func passedMemory() throws(SharedMemoryError) -> SharedExtent {
    guard loop.configuration.maximumDescriptors > 0 else { throw .notAllowed(setting: "descriptors") }
    guard let received = try stream.takeDescriptor() else { throw .noDescriptor(isUnix: isUnix) }
    let memory = try SharedFile(received)
    return SharedExtent(memory, offset: 0, byteCount: try memory.byteCount())
  }

  /// Closes descriptors that came with no request that wants them.
  func dropStrayDescriptors() {
    if isUnix, state.phase == .idle, inputStart == input.count { stream.dropDescriptors() }
  }

  /// Answers from the first bytes of a body in shared memory, where those decide the answer.
  func answerFromStart() -> Bool {
    guard let source = exchange.source, source.byteCount > EventLoop.headReadSize, let head = exchange.head
    else { return false }
    let now = loop.freshNow()
    exchange.receiveNanoseconds = now &- exchange.start
    var request = Request(
      head: head, body: source.start(into: loop.takeHeadBuffer()),
      receiveNanoseconds: exchange.receiveNanoseconds)
    var response = loop.takeSpareResponse()
    let isAnswered = loop.responder.respondToStart(
      of: request, bodyByteCount: source.byteCount, into: &response)
    loop.giveHeadBuffer(request.takeBody())
    if isAnswered {
      exchange.source = nil
      exchange.bodyByteCount = source.byteCount
      exchange.respondNanoseconds = loop.freshNow() &- now
      _ = state.bodyCompleted()
      start(response)
    }
    loop.giveSpareResponse(consume response)
    return isAnswered
  }
}

/// A request's body in shared memory, as something to read it from.
final class SharedBody: ByteSource {
  private let extent: SharedExtent
  private var position = 0
  /// Why the last read found nothing.
  private(set) var failure = SharedMemoryError.failed(
    "the shared memory became shorter than the request says while it was read")

  var byteCount: Int { extent.byteCount }

  init(_ extent: SharedExtent) { self.extent = extent }

  func read(into buffer: inout [UInt8], atMost limit: Int) -> ReadOutcome {
    do throws(SharedMemoryError) {
      let count = try extent.memory.read(
        min(limit, byteCount - position), at: extent.offset + position, into: &buffer)
      position += count
      return count > 0 ? .bytes(count) : .end
    } catch {
      failure = error
      return .end
    }
  }

  /// The first bytes, as many as `buffer` has room for; empty where they cannot be read. ``read(into:atMost:)`` reads them
  /// again.
  func start(into buffer: consuming [UInt8]) -> [UInt8] {
    var buffer = consume buffer
    let room = min(buffer.capacity - buffer.count, byteCount)
    _ = try? extent.memory.read(room, at: extent.offset, into: &buffer)
    return buffer
  }
}
