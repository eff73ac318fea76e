/// Tells a loop which of its descriptors can be read or written.
///
/// Level-triggered: what is ready and not dealt with is told again by the next ``wait(milliseconds:into:)``. Used by
/// the loop's thread alone. Each system call that can do this is a file of its own.
protocol Readiness: AnyObject {
  /// - Parameter token: what events call the descriptor; no two watched at the same time share one.
  func add(_ descriptor: Int32, token: UInt64, _ interest: Interest) throws(SystemError)

  func modify(_ descriptor: Int32, token: UInt64, _ interest: Interest) throws(SystemError)

  /// Ends the watch; afterwards the descriptor may be closed, and not before.
  func remove(_ descriptor: Int32, token: UInt64)

  /// Waits until something is ready or `milliseconds` have passed, and appends what is ready to `events`.
  func wait(milliseconds: Int32, into events: inout [ReadinessEvent])
}

struct Interest: OptionSet {
  let rawValue: UInt8
  static let read = Interest(rawValue: 1)
  static let write = Interest(rawValue: 2)
  /// To be told that the peer is done with sending, where that can be told without reading; `read` includes it.
  static let end = Interest(rawValue: 4)
}

struct ReadinessEvent {
  let token: UInt64
  let isReadable: Bool
  let isWritable: Bool
  /// Reset, or closed in both directions: nobody is left to answer.
  let isBroken: Bool
  /// The peer is done with sending; bytes may still wait to be read.
  var hasPeerEnded = false
}

/// How a server learns which sockets are ready.
public enum ReadinessKind: String, Sendable, CaseIterable {
  /// One system call for many events.
  case epoll
  /// By libdispatch: a queue hop and some locks for every event.
  case dispatch

  /// The faster one.
  public static let standard = ReadinessKind.epoll

  func make() throws(SystemError) -> any Readiness {
    switch self {
    case .epoll: try EpollReadiness()
    case .dispatch: DispatchReadiness()
    }
  }
}
