import Dispatch
import LibC
import Locking

/// Readiness by libdispatch: a source for each direction of each descriptor.
///
/// The sources of a loop share a serial queue; a handler notes what happened, suspends its source (which would
/// otherwise fire again and again until the loop has read) and wakes the loop. The next wait resumes the sources of
/// what was told. Four things need care:
///
/// * A source must be cancelled, and its cancel handler have run, before its descriptor is closed: `remove` waits.
/// * A suspended source must be resumed before it can end.
/// * libdispatch lets go of a descriptor that hung up and never tells of it again, whatever is resumed: from
///   then on the descriptor counts as ready.
/// * A source that nobody reads for stays suspended, or it would fire all the time, and so cannot tell that its peer
///   went away, which epoll always tells: such descriptors are asked one by one, ten times a second.
final class DispatchReadiness: Readiness {
  private let shared = Shared()

  deinit { for watch in shared.takeAll() { watch.end() } }

  func add(_ descriptor: Int32, token: UInt64, _ interest: Interest) throws(SystemError) {
    shared.add(descriptor, token: token, interest)
  }

  func modify(_ descriptor: Int32, token: UInt64, _ interest: Interest) throws(SystemError) {
    shared.modify(token: token, interest)
  }

  func remove(_ descriptor: Int32, token: UInt64) {
    // The cancel handlers run on the sources' queue, whose handlers take the lock: wait without it.
    shared.take(token)?.end()
  }

  func wait(milliseconds: Int32, into events: inout [ReadinessEvent]) {
    if shared.resumeTold() {
      let limit = shared.hasUnheard ? min(milliseconds, Self.askingInterval) : milliseconds
      let outcome = shared.isReady.wait(timeout: .now() + .milliseconds(Int(max(limit, 0))))
      // A signal that came just after the time had passed must not end the next wait.
      if shared.stopWaiting(), outcome == .timedOut { shared.isReady.wait() }
    }
    shared.askUnheard(atMostEvery: Int64(Self.askingInterval) * 1_000_000)
    shared.takeEvents(into: &events)
  }

  /// Milliseconds.
  private static let askingInterval: Int32 = 100

  /// One direction of a watched descriptor.
  private struct Side {
    let source: DispatchSource
    var isSuspended = true

    mutating func resume() {
      if isSuspended { source.resume() }
      isSuspended = false
    }

    mutating func suspend() {
      if !isSuspended { source.suspend() }
      isSuspended = true
    }
  }

  private struct Watch {
    let descriptor: Int32
    var interest: Interest
    var reading: Side
    /// Made when it is first wanted: most answers fit the socket.
    var writing: Side?
    /// libdispatch tells no more of it.
    var hasHungUp = false

    /// Returns when libdispatch has let go of the descriptor.
    consuming func end() {
      Self.end(&reading)
      if var writing { Self.end(&writing) }
    }

    private static func end(_ side: inout Side) {
      let isOver = DispatchSemaphore(value: 0)
      side.source.setCancelHandler { isOver.signal() }
      side.source.cancel()
      side.resume()
      isOver.wait()
    }
  }

  /// What the handlers on the queue and the loop's thread both use.
  private final class Shared: Sendable {
    struct State {
      var watches: [UInt64: Watch] = [:]
      var events: [ReadinessEvent] = []
      /// Tokens whose events the loop has been given, and will have dealt with when it waits again.
      var told: [UInt64] = []
      /// The loop waits and was not woken yet.
      var isWaiting = false
      /// Tokens whose sources would tell nothing, whatever happened.
      var unheard: Set<UInt64> = []
      var lastAsked: Int64 = 0
    }

    let isReady = DispatchSemaphore(value: 0)
    private let state = Locked(State())
    private let queue = DispatchQueue(label: "crop.readiness")

    func add(_ descriptor: Int32, token: UInt64, _ interest: Interest) {
      state.withLock { state in
        guard
          let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
            as? DispatchSource
        else { preconditionFailure("libdispatch's sources are of one class") }
        source.setEventHandler { [self] in happened(.read, token) }
        var watch = Watch(descriptor: descriptor, interest: interest, reading: Side(source: source))
        watch.reading.resume()
        state.watches[token] = watch
        if interest.contains(.write) { resume(token, &state) }
      }
    }

    func modify(token: UInt64, _ interest: Interest) {
      state.withLock { state in
        state.watches[token]?.interest = interest
        resume(token, &state)
      }
    }

    /// Ends the bookkeeping of a descriptor; events of it that wait are forgotten.
    func take(_ token: UInt64) -> Watch? {
      state.withLock { state in
        state.events.removeAll { $0.token == token }
        state.unheard.remove(token)
        return state.watches.removeValue(forKey: token)
      }
    }

    func takeAll() -> [Watch] {
      state.withLock { state in
        defer { state.watches = [:] }
        return Array(state.watches.values)
      }
    }

    /// Listens again for what the loop was told; true when there is nothing to tell yet.
    func resumeTold() -> Bool {
      state.withLock { state in
        let told = state.told
        state.told.removeAll(keepingCapacity: true)
        for token in told { resume(token, &state) }
        state.isWaiting = state.events.isEmpty
        return state.isWaiting
      }
    }

    /// Returns whether the loop was signalled.
    func stopWaiting() -> Bool {
      state.withLock { state in
        defer { state.isWaiting = false }
        return !state.isWaiting
      }
    }

    func takeEvents(into events: inout [ReadinessEvent]) {
      state.withLock { state in
        events.append(contentsOf: state.events)
        for event in state.events { state.told.append(event.token) }
        state.events.removeAll(keepingCapacity: true)
      }
    }

    var hasUnheard: Bool { state.withLock { !$0.unheard.isEmpty } }

    func askUnheard(atMostEvery interval: Int64) {
      state.withLock { state in
        guard !state.unheard.isEmpty, case let now = Clock.now, now - state.lastAsked >= interval else {
          return
        }
        state.lastAsked = now
        for token in state.unheard {
          guard let watch = state.watches[token], Self.hasHungUp(watch.descriptor) else { continue }
          state.watches[token]?.hasHungUp = true
          state.unheard.remove(token)
          tell(ReadinessEvent(token: token, isReadable: true, isWritable: false, isBroken: true), &state)
        }
      }
    }

    /// Has the sources fire that the interest in the descriptor asks for.
    private func resume(_ token: UInt64, _ state: inout State) {
      guard var watch = state.watches[token] else { return }
      if watch.hasHungUp {
        tell(ReadinessEvent(token: token, isReadable: true, isWritable: false, isBroken: true), &state)
        return
      }
      if watch.interest.contains(.read) { watch.reading.resume() }
      if watch.interest.contains(.write) {
        if watch.writing == nil, let source = makeWriteSource(watch.descriptor, token) {
          watch.writing = Side(source: source)
        }
        watch.writing?.resume()
      }
      if watch.reading.isSuspended { state.unheard.insert(token) } else { state.unheard.remove(token) }
      state.watches[token] = watch
    }

    private func makeWriteSource(_ descriptor: Int32, _ token: UInt64) -> DispatchSource? {
      let source =
        DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue) as? DispatchSource
      source?.setEventHandler { [self] in happened(.write, token) }
      return source
    }

    /// On the queue: a source fired.
    private func happened(_ direction: Interest, _ token: UInt64) {
      state.withLock { state in
        // An event that was under way when the watch ended.
        guard var watch = state.watches[token] else { return }
        if direction == .read { watch.reading.suspend() } else { watch.writing?.suspend() }
        watch.hasHungUp = watch.hasHungUp || Self.hasHungUp(watch.descriptor)
        state.watches[token] = watch
        if watch.reading.isSuspended, !watch.hasHungUp, !watch.interest.contains(.read) {
          state.unheard.insert(token)
        }
        guard watch.hasHungUp || watch.interest.contains(direction) else { return }
        tell(
          ReadinessEvent(
            token: token, isReadable: direction == .read, isWritable: direction == .write,
            isBroken: watch.hasHungUp), &state)
      }
    }

    private func tell(_ event: ReadinessEvent, _ state: inout State) {
      state.events.append(event)
      guard state.isWaiting else { return }
      state.isWaiting = false
      isReady.signal()
    }

    private static func hasHungUp(_ descriptor: Int32) -> Bool {
      var entry = pollfd(fd: descriptor, events: 0, revents: 0)
      return poll(&entry, 1, 0) == 1 && Int32(entry.revents) & Int32(POLLHUP | POLLERR) != 0
    }
  }
}
