import CLinux
import LibC

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
