#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif
#if os(Linux)
  import CLinux
#endif

/// Tells which descriptors can be read or written: the one file that names the system's readiness call.
///
/// On Linux this is epoll, level-triggered. A DispatchSource per connection would cost a queue hop per event, and
/// libdispatch unregisters a descriptor on EPOLLHUP, which loses connections whose reader stops early. A port to
/// another system is another `Readiness` in this file.
struct Readiness: ~Copyable {
  struct Interest: OptionSet {
    let rawValue: UInt32
    static let read = Interest(rawValue: UInt32(EPOLLIN.rawValue))
    static let write = Interest(rawValue: UInt32(EPOLLOUT.rawValue))
  }

  struct Event {
    let token: UInt64
    let isReadable: Bool
    let isWritable: Bool
    /// Reset, or closed in both directions: nobody is left to answer.
    let isBroken: Bool
  }

  private let epoll: FileDescriptor
  private var raw = [epoll_event](repeating: epoll_event(), count: 256)

  init() throws(SystemError) {
    let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard descriptor >= 0 else { throw SystemError("epoll_create1") }
    epoll = FileDescriptor(owning: descriptor)
  }

  func add(_ descriptor: Int32, token: UInt64, _ interest: Interest) throws(SystemError) {
    try control(EPOLL_CTL_ADD, descriptor, token, interest)
  }

  func modify(_ descriptor: Int32, token: UInt64, _ interest: Interest) throws(SystemError) {
    try control(EPOLL_CTL_MOD, descriptor, token, interest)
  }

  /// Needed only for descriptors that stay open; closing one removes it.
  func remove(_ descriptor: Int32) { _ = epoll_ctl(epoll.rawValue, EPOLL_CTL_DEL, descriptor, nil) }

  private func control(_ operation: Int32, _ descriptor: Int32, _ token: UInt64, _ interest: Interest)
    throws(SystemError)
  {
    var event = epoll_event()
    event.events = interest.rawValue
    event.data.u64 = token
    guard epoll_ctl(epoll.rawValue, operation, descriptor, &event) == 0 else {
      throw SystemError("epoll_ctl")
    }
  }

  /// Waits until something is ready or `milliseconds` have passed, and appends what is ready to `events`.
  mutating func wait(milliseconds: Int32, into events: inout [Event]) {
    let count = epoll_wait(epoll.rawValue, &raw, Int32(raw.count), milliseconds)
    // EINTR counts as "nothing ready": the caller's loop comes back at once.
    guard count > 0 else { return }
    for entry in raw[..<Int(count)] {
      let flags = entry.events
      events.append(
        Event(
          token: entry.data.u64,
          isReadable: flags & UInt32(EPOLLIN.rawValue) != 0,
          isWritable: flags & UInt32(EPOLLOUT.rawValue) != 0,
          isBroken: flags & UInt32(EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0))
    }
  }
}

/// Wakes a loop that waits in ``Readiness`` from any thread.
struct WakeUp: ~Copyable, Sendable {
  private let event: FileDescriptor

  init() throws(SystemError) {
    let descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    guard descriptor >= 0 else { throw SystemError("eventfd") }
    event = FileDescriptor(owning: descriptor)
  }

  var descriptor: Int32 { event.rawValue }

  func signal() {
    var one: UInt64 = 1
    // Fails only when the counter is full, and then the loop is awake anyway.
    _ = write(event.rawValue, &one, 8)
  }

  func clear() {
    var count: UInt64 = 0
    _ = read(event.rawValue, &count, 8)
  }
}
