import CLinux

/// What a thread of the server is for; the system shows it as the thread's name.
enum ThreadRole: String {
  case loop = "crop-loop"
  case compute = "crop-compute"
  /// A loop for large bodies.
  case bulkLoop = "crop-bulk-loop"
  /// Computes for large bodies.
  case bulkCompute = "crop-bulk"

  /// Called once by each thread as it begins, and never undone: the system takes priority away more readily than it
  /// gives it back.
  func begin(_ priority: BulkPriority) {
    crop_begin_thread(rawValue, level(priority))
  }

  /// As `crop_begin_thread` knows it.
  private func level(_ priority: BulkPriority) -> Int32 {
    switch (self, priority) {
    case (.loop, _), (.compute, _), (_, .normal): 0
    // A client that is kept waiting while it sends occupies a processor all the longer.
    case (_, .low), (.bulkLoop, .idle): 1
    case (.bulkCompute, .idle): 2
    }
  }
}

/// The priority of the threads for large bodies below all others, on Linux.
///
/// Where processors are free it changes nothing. Where none is, a thread that wants to answer a small request is served
/// before one that has computed for long, but as a rule only when that one's time slice ends; and time slices last much
/// longer than a small request takes.
public enum BulkPriority: String, Sendable, CaseIterable {
  /// Not at all.
  case normal
  /// As nice(1) does: a small share of a processor that others want, too.
  case low
  /// Computes on processors that are otherwise idle (SCHED_IDLE), and never delays another thread by a time slice: a
  /// processor that has nothing else to do counts as idle.
  case idle
}
