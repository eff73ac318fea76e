import HTTP1
import Testing

/// The state machine of a connection, phase by phase and input by input.
@Suite struct ConnectionStateTests {
  typealias Phase = ConnectionState.Phase
  typealias Action = ConnectionState.Action

  static let phases: [Phase] = [
    .idle, .receivingHead, .receivingBody, .responding, .writing, .lingering, .closed,
  ]

  /// A connection in a phase, reached the way a transport reaches it.
  static func connection(in phase: Phase, keepsAlive: Bool = true) -> ConnectionState {
    var state = ConnectionState()
    if phase == .idle { return state }
    if phase == .closed {
      state.aborted()
      return state
    }
    state.headStarted()
    if phase == .receivingHead { return state }
    if phase == .lingering {
      state.refused()
      _ = state.responseStarted(closes: false)
      _ = state.responseWritten()
      return state
    }
    _ = state.headAccepted(
      wantsKeepAlive: keepsAlive, hasBody: phase == .receivingBody, expectsContinue: false,
      bodyBytesAreBuffered: false)
    if phase == .writing { _ = state.responseStarted(closes: false) }
    return state
  }

  @Test("The way into every phase is the way named", arguments: phases)
  func reachesEveryPhase(phase: Phase) { #expect(Self.connection(in: phase).phase == phase) }

  @Test(
    "The end of input closes what waits, refuses what is half there, and lets an answer finish",
    arguments: [
      (.idle, .close, .closed), (.lingering, .close, .closed),
      (
        .receivingHead, .refuse(.framing(FramingError(400, "the connection ended inside a request head"))),
        .receivingHead
      ),
      (
        .receivingBody, .refuse(.framing(FramingError(400, "the connection ended inside a request body"))),
        .receivingBody
      ),
      (.responding, .none, .responding), (.writing, .none, .writing), (.closed, .none, .closed),
    ] as [(Phase, Action, Phase)])
  func inputEnded(phase: Phase, action: Action, next: Phase) {
    var state = Self.connection(in: phase)
    let atEnd = state.inputEnded()
    #expect(atEnd == action)
    #expect(state.phase == next)
  }

  @Test(
    "A deadline answers 408 while a request arrives and closes where the peer is idle or does not read",
    arguments: [
      (.idle, .close, .closed), (.receivingHead, .refuse(.timedOut(phase: "head")), .receivingHead),
      (.receivingBody, .refuse(.timedOut(phase: "body")), .receivingBody), (.responding, .none, .responding),
      (.writing, .close, .closed), (.lingering, .close, .closed), (.closed, .none, .closed),
    ] as [(Phase, Action, Phase)])
  func deadlinePassed(phase: Phase, action: Action, next: Phase) {
    var state = Self.connection(in: phase)
    let atDeadline = state.deadlinePassed()
    #expect(atDeadline == action)
    #expect(state.phase == next)
  }

  @Test("The first byte of a head ends idleness and changes nothing else", arguments: phases)
  func headStarted(phase: Phase) {
    var state = Self.connection(in: phase)
    state.headStarted()
    #expect(state.phase == (phase == .idle ? .receivingHead : phase))
  }

  @Test("A broken connection is closed from every phase", arguments: phases)
  func aborted(phase: Phase) {
    var state = Self.connection(in: phase)
    state.aborted()
    #expect(state.phase == .closed)
  }

  @Test("Draining moves no phase, and the next response announces the end", arguments: phases)
  func drain(phase: Phase) {
    var state = Self.connection(in: phase)
    state.drain()
    #expect(state.phase == phase && state.isDraining)
    if phase == .responding {
      let staysOpen = state.responseStarted(closes: false)
      #expect(!staysOpen)
      let afterwards = state.responseWritten()
      #expect(afterwards == .close)
    }
  }

  @Test("A response announced as keep-alive before draining began keeps its word")
  func drainWhileWriting() {
    var state = Self.connection(in: .writing)
    state.drain()
    let afterwards = state.responseWritten()
    #expect(afterwards == .readHead)
    state.headStarted()
    _ = state.headAccepted(
      wantsKeepAlive: true, hasBody: false, expectsContinue: false, bodyBytesAreBuffered: false)
    let announcesMore = state.responseStarted(closes: false)
    #expect(!announcesMore)
  }

  @Test(
    "100 Continue is sent only for a body that the client holds back",
    arguments: [true, false], [true, false])
  func sendsContinue(expectsContinue: Bool, isBuffered: Bool) {
    var state = Self.connection(in: .receivingHead)
    let action = state.headAccepted(
      wantsKeepAlive: true, hasBody: true, expectsContinue: expectsContinue, bodyBytesAreBuffered: isBuffered)
    #expect(action == .readBody(sendsContinue: expectsContinue && !isBuffered))
    #expect(state.phase == .receivingBody)
    let withBody = state.bodyCompleted()
    #expect(withBody == .respond)
    #expect(state.phase == .responding)
  }

  @Test("A request without a body goes straight to the responder", arguments: [true, false])
  func noBody(expectsContinue: Bool) {
    var state = Self.connection(in: .receivingHead)
    let action = state.headAccepted(
      wantsKeepAlive: true, hasBody: false, expectsContinue: expectsContinue, bodyBytesAreBuffered: false)
    #expect(action == .respond && state.phase == .responding)
  }

  @Test(
    "A connection outlives a response when the client wants it and nothing stands against it",
    arguments: [true, false], [true, false])
  func keepAlive(wantsKeepAlive: Bool, closes: Bool) {
    var state = Self.connection(in: .responding, keepsAlive: wantsKeepAlive)
    let staysOpen = wantsKeepAlive && !closes
    let announcesMore = state.responseStarted(closes: closes)
    #expect(announcesMore == staysOpen)
    #expect(state.phase == .writing)
    let afterwards = state.responseWritten()
    #expect(afterwards == (staysOpen ? .readHead : .close))
    #expect(state.phase == (staysOpen ? .idle : .closed))
  }

  @Test(
    "A rejected head leaves a clean connection without a body, and one to linger on with it",
    arguments: [true, false], [true, false])
  func headRejected(wantsKeepAlive: Bool, hasBody: Bool) {
    var state = Self.connection(in: .receivingHead)
    state.headRejected(wantsKeepAlive: wantsKeepAlive, hasBody: hasBody)
    #expect(state.phase == .responding)
    let announcesMore = state.responseStarted(closes: false)
    #expect(announcesMore == (wantsKeepAlive && !hasBody))
    let action = state.responseWritten()
    #expect(action == (hasBody ? .linger : wantsKeepAlive ? .readHead : .close))
    #expect(state.phase == (hasBody ? .lingering : wantsKeepAlive ? .idle : .closed))
  }

  @Test(
    "A refusal is answered, then lingers for what the peer still sends",
    arguments: [Phase.receivingHead, .receivingBody])
  func refused(phase: Phase) {
    var state = Self.connection(in: phase)
    state.refused()
    #expect(state.phase == .responding)
    let announcesMore = state.responseStarted(closes: false)
    #expect(!announcesMore)
    let afterwards = state.responseWritten()
    #expect(afterwards == .linger)
    let atEnd = state.inputEnded()
    #expect(atEnd == .close)
  }

  @Test(
    "Nothing is left to linger for once the peer finished sending",
    arguments: [Phase.receivingHead, .receivingBody])
  func refusedAtTheEnd(phase: Phase) {
    var state = Self.connection(in: phase)
    _ = state.inputEnded()
    state.refused()
    _ = state.responseStarted(closes: false)
    let afterwards = state.responseWritten()
    #expect(afterwards == .close && state.phase == .closed)
  }

  @Test("A half-closed client gets its answer and then the end")
  func halfClose() {
    var early = Self.connection(in: .responding)
    let atEnd = early.inputEnded()
    #expect(atEnd == .none)
    let announcesMore = early.responseStarted(closes: false)
    #expect(!announcesMore)
    let afterwards = early.responseWritten()
    #expect(afterwards == .close)

    // Announced as open already: the next read finds the end.
    var late = Self.connection(in: .writing)
    let lateEnd = late.inputEnded()
    #expect(lateEnd == .none)
    let next = late.responseWritten()
    #expect(next == .readHead)
  }

  @Test("A clean request after a rejected one starts without its past")
  func noMemory() {
    var state = Self.connection(in: .receivingHead)
    state.headRejected(wantsKeepAlive: true, hasBody: false)
    _ = state.responseStarted(closes: false)
    let afterwards = state.responseWritten()
    #expect(afterwards == .readHead)
    var fresh = ConnectionState()
    #expect(state == fresh)
    fresh.headStarted()
    state.headStarted()
    #expect(state == fresh)
  }
}
