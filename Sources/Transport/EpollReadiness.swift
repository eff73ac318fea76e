import CLinux
import LibC

/// epoll(7): one call tells of many descriptors, and the loop that asks is the one that reads.
final class EpollReadiness: Readiness {
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

  func remove(_ descriptor: Int32, token: UInt64) {
    _ = epoll_ctl(epoll.rawValue, EPOLL_CTL_DEL, descriptor, nil)
  }

  private func control(
    _ operation: Int32, _ descriptor: Int32, _ token: UInt64, _ interest: Interest
  ) throws(SystemError) {
    var event = epoll_event()
    event.events =
      (interest.contains(.read) ? UInt32(EPOLLIN.rawValue | EPOLLRDHUP.rawValue) : 0)
      | (interest.contains(.end) ? UInt32(EPOLLRDHUP.rawValue) : 0)
      | (interest.contains(.write) ? UInt32(EPOLLOUT.rawValue) : 0)
    event.data.u64 = token
    guard epoll_ctl(epoll.rawValue, operation, descriptor, &event) == 0 else {
      throw SystemError("epoll_ctl")
    }
  }

  func wait(milliseconds: Int32, into events: inout [ReadinessEvent]) {
    let count = epoll_wait(epoll.rawValue, &raw, Int32(raw.count), milliseconds)
    // EINTR counts as "nothing ready": the caller's loop comes back at once.
    guard count > 0 else { return }
    for entry in raw[..<Int(count)] {
      let flags = entry.events
      events.append(
        ReadinessEvent(
          token: entry.data.u64,
          isReadable: flags & UInt32(EPOLLIN.rawValue) != 0,
          isWritable: flags & UInt32(EPOLLOUT.rawValue) != 0,
          isBroken: flags & UInt32(EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0,
          hasPeerEnded: flags & UInt32(EPOLLRDHUP.rawValue) != 0))
    }
  }
}
