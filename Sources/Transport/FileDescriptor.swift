import LibC

/// Sole owner of an open descriptor: it is closed exactly once, when the owner goes away.
struct FileDescriptor: ~Copyable, Sendable {
  let rawValue: Int32

  init(owning rawValue: Int32) { self.rawValue = rawValue }

  deinit {
    // Not retried on EINTR: Linux has released the number already, and it may be somebody else's by now.
    _ = close(rawValue)
  }
}
