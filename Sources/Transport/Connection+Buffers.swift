import HTTP1

// What a connection holds while it waits for its peer, beside bodies: a head that is not whole, or is whole and waits for
// its body, requests sent ahead, an answer that is not read. Thousands of connections may do so at once.

extension Connection {
  /// Makes what waits in `input` as small as it is, and counts it.
  func settleInput() {
    guard input.capacity > 0 || bufferBytes > 0 else { return }
    switch state.phase {
    // Counted where they begin to wait.
    case .receivingBody, .writing, .closed: return
    case .idle, .receivingHead, .responding, .lingering: shrinkInput()
    }
    // Behind a request that is computed there are few, as many as requests may be in flight.
    let isWaiting = state.phase == .receivingHead || state.phase == .idle
    guard isWaiting || input.capacity < bufferBytes else { return }
    guard !holdBuffers(input.capacity) else { return }
    // Between two requests there is none to refuse.
    state.phase == .idle ? abort() : refuse(.noMemoryBudget)
  }

  /// Counts the head of a request whose body is on its way; false when there is no room for it.
  func holdHead() -> Bool { holdBuffers(input.capacity + headBytes()) }

  private func headBytes() -> Int {
    guard let head = exchange.head else { return 0 }
    if let bytes = exchange.headBytes { return bytes }
    let bytes = head.heldBytes + loop.responder.heldBytes(of: head)
    let counted = bytes <= Self.ordinaryHead ? 0 : bytes
    exchange.headBytes = counted
    return counted
  }

  /// Heads up to this are part of what a connection takes anyway.
  private static let ordinaryHead = 4 << 10

  private func shrinkInput() {
    guard input.capacity > 2 * (input.count - inputStart) else { return }
    // Copied by hand: an array of a whole slice shares the slice's buffer.
    let rest = input.withUnsafeBytes { Array($0[inputStart...]) }
    inputStart = input.count
    giveBackHeadBuffer()
    input = rest
    inputStart = 0
  }

  /// Makes an answer that waits for its client as small as it is, and counts it; one too many is given up, since its
  /// first bytes may be out.
  ///
  /// - Returns: whether the connection lives on.
  func settleOutput() -> Bool {
    loop.giveHeadBuffer(output.shrink())
    if inputStart < input.count { shrinkInput() }
    return holdBuffers(input.capacity + headBytes() + output.heldBytes - exchange.reservation.bytes)
  }

  /// Counts that many bytes as this connection's; false when there is no room for them.
  func holdBuffers(_ count: Int) -> Bool {
    let count = max(count, 0)
    if count > bufferBytes {
      guard loop.capacity.takeConnectionBytes(count - bufferBytes) else { return false }
    } else if count < bufferBytes {
      loop.capacity.giveConnectionBytes(bufferBytes - count)
    }
    bufferBytes = count
    return true
  }

  /// Counts the memory of a TLS session; false when there is no room for it.
  func holdSession() -> Bool {
    guard stream.isEncrypted else { return true }
    guard loop.capacity.takeConnectionBytes(TransportConfiguration.tlsSessionBytes) else { return false }
    sessionBytes = TransportConfiguration.tlsSessionBytes
    return true
  }

  func releaseSession() {
    if sessionBytes > 0 { loop.capacity.giveConnectionBytes(sessionBytes) }
    sessionBytes = 0
  }

  // MARK: Clients that finished sending

  /// The peer is done with sending: it reads its answer still, or it is gone. What waits for a compute thread waits
  /// behind the requests of all others from now on.
  func peerFinishedSending() {
    guard !peerHasEnded else { return }
    peerHasEnded = true
    guard !isPeerGone() else { return abort() }
    if let job = exchange.job { loop.compute.clientHasEnded(of: job) }
  }

  /// Looks again whether a peer that finished sending has gone since.
  func forgetGonePeer() {
    if peerHasEnded, state.phase == .responding, isPeerGone() { abort() }
  }

  private func isPeerGone() -> Bool { !isUnix && PeerState.isGone(stream.descriptor) }
}
