/// The listening sockets, and the loops that take turns in serving what they accept.
///
/// One loop accepts for all: with a listening socket per loop the kernel would leave requests on a socket that
/// is being closed, and spread connections unevenly.
struct Acceptor {
  private(set) var listeners: [Listener]
  private let mailboxes: [Mailbox]
  private var turn = 0
  private var current = 0
  /// Set while accepting is paused: when to try again.
  var pausedUntil: Int64?

  init(_ listeners: [Listener], mailboxes: [Mailbox]) {
    self.listeners = listeners
    self.mailboxes = mailboxes
  }

  /// The next waiting connection of any listener.
  mutating func accept() -> Listener.Accepted {
    for _ in listeners {
      let accepted = listeners[current].accept()
      if case .none = accepted {
        current = (current + 1) % listeners.count
      } else {
        return accepted
      }
    }
    return .none
  }

  mutating func nextMailbox() -> Mailbox {
    turn = (turn + 1) % mailboxes.count
    return mailboxes[turn]
  }

  /// Begins the end: sockets of others are let go of with what waits in them, and no new connection begins on the
  /// rest.
  ///
  /// - Returns: whether handshakes may be under way whose connections are still to come.
  mutating func refuseConnections() -> Bool {
    listeners.removeAll { $0.isInherited }
    current = 0
    var mayBeUnderWay = false
    for listener in listeners where listener.refuseConnections() { mayBeUnderWay = true }
    return mayBeUnderWay
  }
}
