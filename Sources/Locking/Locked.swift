public import Synchronization

/// A value that one thread at a time may use.
///
/// This is `Synchronization.Mutex`, told to the thread sanitizer: the mutex' contended path lies in Swift's runtime,
/// which is not compiled for it, so it sees no order between two threads that met at the lock and reports what they
/// hand over as a race. Built with `-D THREAD_SANITIZER` (tools/sanitize.sh), each turn of the lock acquires what the
/// turn before released.
public struct Locked<Value: ~Copyable>: ~Copyable, Sendable {
  @usableFromInline let mutex: Mutex<Value>
  #if THREAD_SANITIZER
    @usableFromInline let turns = Atomic(0)
  #endif

  @inlinable
  public init(_ value: consuming sending Value) { mutex = Mutex(value) }

  @inlinable
  public borrowing func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout sending Value) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    #if THREAD_SANITIZER
      try mutex.withLock { value throws(Failure) in
        _ = turns.load(ordering: .acquiring)
        defer { turns.add(1, ordering: .releasing) }
        return try body(&value)
      }
    #else
      try mutex.withLock(body)
    #endif
  }
}
