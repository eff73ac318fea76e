import Dispatch
import LibC
import Locking
import Synchronization

/// Writes log lines to a descriptor without ever making the writer wait.
///
/// Standard error may be a pipe that nobody empties; an event loop must not stall on it. Lines are collected and
/// written by a queue of their own; beyond a bound they are dropped. Lines that are dropped, or cannot be written, are
/// counted, and a line of the log says how many as soon as one can be written.
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
  /// Whether the last byte written was inside a line.
  private let isTorn = Atomic(false)
  private let totalDropped = Atomic(0)
  private let queue = DispatchQueue(label: "crop.log")
  private let descriptor: Int32
  private let loss: @Sendable (_ lines: Int) -> [UInt8]

  /// - Parameter loss: the line that says how many lines are missing, in the format of the log.
  init(descriptor: Int32, loss: @escaping @Sendable (_ lines: Int) -> [UInt8]) {
    self.descriptor = descriptor
    self.loss = loss
  }

  /// Lines that never reached the descriptor, since the start.
  var droppedLineCount: Int { totalDropped.load(ordering: .relaxed) }

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
        drop(1, &state)
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

  private func drop(_ lines: Int, _ state: inout State) {
    state.droppedLines += lines
    totalDropped.add(lines, ordering: .relaxed)
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
    if !lines.isEmpty { countUnwritten(writeAll(lines[...])) }
    if droppedLines > 0, !writeAll(loss(droppedLines)[...]).isEmpty {
      // Nobody heard of it; the next line that can be written says so.
      state.withLock { $0.droppedLines += droppedLines }
    }
  }

  private func countUnwritten(_ rest: ArraySlice<UInt8>) {
    let lines = rest.reduce(0) { $0 + ($1 == Self.lineFeed ? 1 : 0) }
    guard lines > 0 else { return }
    state.withLock { drop(lines, &$0) }
  }

  /// - Returns: what could not be written, because the descriptor failed.
  private func writeAll(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    if isTorn.load(ordering: .relaxed) {
      // What was cut off stays a line of its own.
      guard writeBytes([Self.lineFeed]).isEmpty else { return bytes }
      isTorn.store(false, ordering: .relaxed)
    }
    let rest = writeBytes(bytes)
    if let next = rest.first, rest.startIndex > bytes.startIndex {
      isTorn.store(bytes[rest.startIndex - 1] != Self.lineFeed && next != Self.lineFeed, ordering: .relaxed)
    }
    return rest
  }

  private func writeBytes(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var rest = bytes
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { systemWrite(descriptor, $0) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        // Another process made the pipe non-blocking; this queue may wait for its reader.
        var item = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&item, 1, -1)
      } else if errno != EINTR {
        return rest
      }
    }
    return rest
  }

  private static let lineFeed = UInt8(ascii: "\n")
}
