import Dispatch
import Locking

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Writes log lines to a descriptor without ever making the writer wait.
///
/// Standard error may be a pipe that nobody empties; an event loop must not stall on it. Lines are collected and
/// written by a queue of their own; beyond a bound they are dropped, and how many is said in the log.
final class LogSink: Sendable {
  private struct State {
    var pending: [UInt8] = []
    var droppedLines = 0
    var isFlushScheduled = false
  }

  private static let maximumPendingBytes = 4 << 20
  /// How long an access-log line may wait for company: waking a thread for every line costs more than the line.
  private static let gatheringTime = DispatchTimeInterval.milliseconds(50)

  private let state = Locked(State())
  private let queue = DispatchQueue(label: "crop.log")
  private let descriptor: Int32

  init(descriptor: Int32) { self.descriptor = descriptor }

  /// - Parameters:
  ///   - line: whole, with its line feed.
  ///   - isUrgent: written at once instead of together with the lines of the next moment.
  func write(_ line: [UInt8], isUrgent: Bool = false) {
    write(isUrgent: isUrgent) { $0.append(contentsOf: line) }
  }

  /// - Parameter append: writes a whole line behind those that wait already; quick, since others wait for it.
  func write(isUrgent: Bool = false, _ append: (inout [UInt8]) -> Void) {
    let schedules = state.withLock { state in
      guard state.pending.count <= Self.maximumPendingBytes else {
        state.droppedLines += 1
        return false
      }
      append(&state.pending)
      defer { state.isFlushScheduled = true }
      return !state.isFlushScheduled
    }
    if isUrgent {
      queue.async { self.writePending() }
    } else if schedules {
      queue.asyncAfter(deadline: .now() + Self.gatheringTime) { self.writePending() }
    }
  }

  /// Returns when every line so far is written, or cannot be: a reader that stalls must not keep the program from
  /// ending.
  func flush() {
    let isWritten = DispatchSemaphore(value: 0)
    queue.async {
      self.writePending()
      isWritten.signal()
    }
    _ = isWritten.wait(timeout: .now() + .seconds(2))
  }

  private func writePending() {
    let (lines, droppedLines) = state.withLock { state in
      defer {
        state.pending = []
        state.droppedLines = 0
        state.isFlushScheduled = false
      }
      return (state.pending, state.droppedLines)
    }
    writeAll(lines[...])
    if droppedLines > 0 {
      writeAll(Array("\(Timestamp.now()) warning dropped lines=\(droppedLines)\n".utf8)[...])
    }
  }

  private func writeAll(_ bytes: ArraySlice<UInt8>) {
    var rest = bytes
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { systemWrite(descriptor, $0) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno != EINTR {
        return  // Nowhere is left to complain.
      }
    }
  }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
  write(descriptor, bytes.baseAddress, bytes.count)
}
