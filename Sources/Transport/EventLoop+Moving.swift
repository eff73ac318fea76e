import HTTP1

// Which loop serves a request. A loop reads a large body in turns of a tenth of a millisecond and more, for tens of
// milliseconds, and the thread that does so is one that the system has reason to keep waiting: it has used the
// processor for long. So large bodies have threads of their own, and a connection goes where its next request belongs.

/// A connection on its way from one loop to another.
struct MovedConnection: Sendable {
  /// Owned by whoever has the message.
  let descriptor: Int32
  let id: UInt64
  let remote: String
  /// What was received and not served: a head, and what came behind it.
  let bytes: [UInt8]
  /// What came with these bytes.
  let descriptors: DescriptorQueue
}

extension EventLoop {
  /// Whether requests framed like this are this loop's business.
  func serves(_ framing: BodyFraming) -> Bool {
    guard configuration.bulkLoopCount > 0 else { return true }
    if let length = framing.length, length >= configuration.bulkBodyBytes { return isBulk }
    return !isBulk
  }

  /// Has a loop of the other kind go on with `connection`, from the request that `bytes` begin with.
  ///
  /// - Parameter descriptor: of the same socket as the connection's own, which closes.
  func handOver(_ connection: Connection, _ descriptor: Int32, _ bytes: [UInt8]) {
    guard connections.remove(connection.token) else { preconditionFailure("only open connections move") }
    readiness.remove(connection.stream.descriptor, token: connection.token)
    home(of: connection.id).send(
      .takeOver(
        MovedConnection(
          descriptor: descriptor, id: connection.id, remote: connection.remote, bytes: bytes,
          descriptors: connection.stream.takeDescriptors())))
  }

  /// The loop of the other kind for a connection: always the same one.
  private func home(of id: UInt64) -> Mailbox {
    // Numbers begin with the index of the loop that the acceptor chose, and grow by the number of loops.
    let first = Int(id % UInt64(shared.mailboxes.count))
    return isBulk
      ? shared.mailboxes[first]
      : shared.mailboxes[configuration.briefLoopCount + first % configuration.bulkLoopCount]
  }

  func takeOver(_ moved: MovedConnection) {
    // Most servers never see a large body.
    if isBulk { compute.start() }
    let stream = SocketStream(
      FileDescriptor(owning: moved.descriptor), budget: descriptorBudget(moved.remote),
      descriptors: moved.descriptors)
    watch(stream, id: moved.id, moved.remote, isOverCapacity: false)?.goOn(with: moved.bytes)
  }

  /// For descriptors that come over a connection; nil where none can.
  func descriptorBudget(_ remote: String) -> DescriptorBudget? {
    remote == SocketAddress.unixRemote ? shared.descriptors : nil
  }

  /// Closes what a message that came too late brings along.
  func discard(_ message: Mailbox.Message) {
    switch message {
    case .adopt(let descriptor, _, _, _): _ = FileDescriptor(owning: descriptor)
    case .takeOver(let moved): _ = FileDescriptor(owning: moved.descriptor)
    case .computed, .drain, .stopListening, .roomToAccept, .stop, .answer: break
    }
  }
}
