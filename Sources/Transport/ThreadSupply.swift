import CLinux

/// Whether the system grants the threads that a server needs.
///
/// Dispatch goes on trying for ever where a thread cannot be started, so this is asked before anything waits for one.
public enum ThreadSupply {
  /// Fewer threads than needed could be started.
  public struct Shortage: Error, Sendable, Equatable {
    public let wanted: Int
    public let started: Int
    public let cause: SystemError
  }

  /// How many processors the process may run on by its affinity, where the system says so.
  public static var allowedProcessors: Int? {
    let count = Int(crop_allowed_processors())
    return count > 0 ? count : nil
  }

  /// Starts `count` threads at once and ends them again.
  public static func check(_ count: Int) throws(Shortage) {
    var started: Int32 = 0
    let code = crop_try_threads(Int32(clamping: count), &started)
    guard code == 0 else {
      throw Shortage(wanted: count, started: Int(started), cause: SystemError("pthread_create", code: code))
    }
  }
}
