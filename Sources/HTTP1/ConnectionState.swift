/// What a server connection is doing, and what its I/O must do next: the state machine of RFC 9112 section 9.
///
/// Pure: it sees no bytes, sockets or clocks. The transport reports what happened and carries out the returned
/// ``Action``. Everything that decides whether a connection lives on stands in this file.
///
/// ```
///  idle -> receivingHead -> [receivingBody] -> responding -> writing -> idle
///                 \______________\________________/             \-> lingering -> closed
///                       rejected: answered without reading on
/// ```
public struct ConnectionState: Sendable, Equatable {
  public enum Phase: Sendable, Equatable {
    /// Between requests; not one byte of the next head has arrived.
    case idle
    case receivingHead
    case receivingBody
    /// The responder has the request.
    case responding
    case writing
    /// The response is out and the write side is shut; what the peer still sends is thrown away, because
    /// closing with unread bytes makes the kernel send a reset that can destroy the response in flight.
    case lingering
    case closed
  }

  public enum Action: Sendable, Equatable {
    case readHead
    /// `sendsContinue`: write `100 Continue` first, the client waits for it.
    case readBody(sendsContinue: Bool)
    /// Hand the request to the responder.
    case respond
    /// Answer with this rejection; nothing more will be read as a request.
    case refuse(Refusal)
    case linger
    case close
    /// Nothing to do now.
    case none
  }

  public private(set) var phase: Phase = .idle
  /// Whether the connection outlives the response that is due or being written.
  public private(set) var keepsAlive = true
  /// Bytes of the current request may still arrive although its response is decided.
  private var mayHaveUnreadInput = false
  private var inputHasEnded = false
  public private(set) var isDraining = false

  public init() {}

  /// A byte of a request head arrived.
  public mutating func headStarted() {
    if phase == .idle { phase = .receivingHead }
  }

  /// A whole, acceptable head arrived.
  ///
  /// `bodyBytesAreBuffered`: the client did not wait for `100 Continue`, so it needs none
  /// (RFC 9110 section 10.1.1).
  public mutating func headAccepted(
    wantsKeepAlive: Bool, hasBody: Bool, expectsContinue: Bool, bodyBytesAreBuffered: Bool
  ) -> Action {
    precondition(phase == .receivingHead)
    keepsAlive = wantsKeepAlive
    guard hasBody else {
      phase = .responding
      return .respond
    }
    phase = .receivingBody
    return .readBody(sendsContinue: expectsContinue && !bodyBytesAreBuffered)
  }

  /// A whole head arrived and is answered without its body being read.
  ///
  /// Without a body the connection is as clean as after any other response and may live on.
  public mutating func headRejected(wantsKeepAlive: Bool, hasBody: Bool) {
    precondition(phase == .receivingHead)
    keepsAlive = wantsKeepAlive && !hasBody
    mayHaveUnreadInput = hasBody
    phase = .responding
  }

  public mutating func bodyCompleted() -> Action {
    precondition(phase == .receivingBody)
    phase = .responding
    return .respond
  }

  /// The bytes broke a rule, or the request is cut off for lack of time or room.
  public mutating func refused() {
    keepsAlive = false
    mayHaveUnreadInput = true
    phase = .responding
  }

  /// The response is ready to be written.
  ///
  /// - Returns: whether it announces a connection that stays open.
  public mutating func responseStarted(closes: Bool) -> Bool {
    precondition(phase == .responding)
    if closes || isDraining || inputHasEnded { keepsAlive = false }
    phase = .writing
    return keepsAlive
  }

  public mutating func responseWritten() -> Action {
    precondition(phase == .writing)
    // The response may have been announced as keep-alive before draining began or the peer finished: then
    // the next request, if there is one, is still served.
    if keepsAlive {
      phase = .idle
      return .readHead
    }
    if mayHaveUnreadInput && !inputHasEnded {
      phase = .lingering
      return .linger
    }
    phase = .closed
    return .close
  }

  /// The peer finished sending (a read returned 0). It may still be reading: a half-closed client gets its
  /// answer.
  public mutating func inputEnded() -> Action {
    inputHasEnded = true
    switch phase {
    case .idle, .lingering:
      phase = .closed
      return .close
    case .receivingHead:
      return .refuse(.framing(FramingError(400, "the connection ended inside a request head")))
    case .receivingBody:
      return .refuse(.framing(FramingError(400, "the connection ended inside a request body")))
    case .responding, .writing, .closed: return .none
    }
  }

  /// The deadline of the current phase passed.
  public mutating func deadlinePassed() -> Action {
    switch phase {
    case .receivingHead: return .refuse(.timedOut(phase: "head"))
    case .receivingBody: return .refuse(.timedOut(phase: "body"))
    case .responding, .closed: return .none
    case .idle, .writing, .lingering:
      phase = .closed
      return .close
    }
  }

  /// From now on every response announces the end of the connection.
  public mutating func drain() { isDraining = true }

  /// The socket failed or is to be dropped.
  public mutating func aborted() { phase = .closed }
}
