import HTTP1
import Locking

/// How other threads talk to an event loop: messages in order, and one wake-up for many of them.
final class Mailbox: Sendable {
  enum Message: Sendable {
    /// A connection was accepted; the loop owns the descriptor from here on.
    case adopt(descriptor: Int32, remote: String, preamble: Preamble, isOverCapacity: Bool)
    /// Another loop read a head that this one is for.
    case takeOver(MovedConnection)
    case computed(connection: UInt64, Response, reservation: Reservation, nanoseconds: Int64)
    /// Announce the end of every connection with its next response.
    case drain
    /// Close the listening sockets, and connections as soon as they are idle.
    case stopListening
    /// A connection of some loop went away: there may be room to accept again.
    case roomToAccept
    case stop
    /// Say that this loop turns.
    case answer(LoopQuestion)
  }

  private let messages = Locked<[Message]>([])
  private let wakeUp: WakeUp

  init() throws(SystemError) { wakeUp = try WakeUp() }

  var descriptor: Int32 { wakeUp.descriptor }

  func send(_ message: consuming Message) {
    let message = message
    let wasEmpty = messages.withLock { messages in
      messages.append(message)
      return messages.count == 1
    }
    // Later senders need no wake-up: the loop takes all messages at once.
    if wasEmpty { wakeUp.signal() }
  }

  /// Takes every message. `spare` is an emptied array to write the next ones into.
  func takeAll(spare: consuming [Message]) -> [Message] {
    wakeUp.clear()
    var taken = spare
    messages.withLock { swap(&$0, &taken) }
    return taken
  }
}
