import LibC

#if os(Linux)
  import CLinux
#endif

/// Wakes a loop that waits in ``Readiness`` from any thread.
struct WakeUp: ~Copyable, Sendable {
  #if os(Linux)
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
  #else
    private let reading: FileDescriptor
    private let writing: FileDescriptor

    init() throws(SystemError) {
      var ends: [Int32] = [0, 0]
      guard pipe(&ends) == 0 else { throw SystemError("pipe") }
      reading = FileDescriptor(owning: ends[0])
      writing = FileDescriptor(owning: ends[1])
      for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) + fcntl(end, F_SETFD, FD_CLOEXEC) }
    }

    var descriptor: Int32 { reading.rawValue }

    func signal() {
      var one: UInt8 = 1
      // Fails only when the pipe is full, and then the loop is awake anyway.
      _ = write(writing.rawValue, &one, 1)
    }

    func clear() {
      var bytes: (UInt64, UInt64) = (0, 0)
      while read(reading.rawValue, &bytes, 16) == 16 {}
    }
  #endif
}
