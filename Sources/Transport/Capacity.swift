import Synchronization

/// What the server holds at this moment, and the caps on it; shared by all loops and read by `/metrics`.
public final class Capacity: Sendable {
  private let connections = Atomic(0)
  private let inFlight = Atomic(0)
  private let bodyBytes = Atomic(0)
  private let workBytes = Atomic(0)
  private let connectionBytes = Atomic(0)
  private let roomBytes = Atomic(0)
  private let workBytesTotal = Atomic(0)
  private let ended = Atomic(0)
  private let bodiesArriving = Atomic(0)
  private let accepted = Atomic(0)
  private let acceptPauses = Atomic(0)

  let maximumInFlight: Int
  /// Of everything that is held for clients.
  let maximumBytes: Int
  /// Resident memory that the allocator's reserves must not exceed.
  let residentLimit: Int

  public init(_ configuration: TransportConfiguration) {
    maximumInFlight = configuration.maximumInFlight
    maximumBytes = configuration.maximumInFlightBytes
    residentLimit = configuration.residentBytes
  }

  public var connectionCount: Int { connections.load(ordering: .sequentiallyConsistent) }
  public var inFlightCount: Int { inFlight.load(ordering: .relaxed) }
  /// Bodies and unsent answers.
  public var inFlightBodyBytes: Int { bodyBytes.load(ordering: .relaxed) }
  /// What requests that are computed hold beside their bodies.
  public var inFlightWorkBytes: Int { workBytes.load(ordering: .relaxed) }
  /// All that requests ever asked for beside their bodies.
  public var requestedWorkBytes: Int { workBytesTotal.load(ordering: .relaxed) }
  /// Buffers of connections: unfinished heads, answers that their clients do not read, TLS sessions.
  public var heldConnectionBytes: Int { connectionBytes.load(ordering: .relaxed) }
  /// Everything that is held for clients.
  public var heldBytes: Int { inFlightBodyBytes + inFlightWorkBytes + heldConnectionBytes }
  /// Connections accepted since the start.
  public var acceptedCount: Int { accepted.load(ordering: .relaxed) }

  /// How often accepting was paused, for lack of descriptors or of room for one more connection.
  public var acceptPauseCount: Int { acceptPauses.load(ordering: .relaxed) }

  /// No request that computes would be admitted now.
  ///
  /// Queued requests whose clients may have gone make room for any other.
  public var isExhausted: Bool {
    inFlightCount - ended.load(ordering: .relaxed) >= maximumInFlight || inFlightBodyBytes >= maximumBytes
  }

  var isQueueFull: Bool { inFlightCount >= maximumInFlight }

  /// Bodies leave a quarter to what they are computed with, but for one that is alone.
  private var bodyShare: Int { maximumBytes - maximumBytes / 4 }

  func hasRoom(forBodyBytes count: Int) -> Bool {
    heldBytes <= maximumBytes - count
      && (inFlightBodyBytes == 0 || inFlightBodyBytes <= bodyShare - count)
  }

  /// Requests that want a processor now: those whose body arrives in pieces, and those computed or queued.
  var busyCount: Int { bodiesArriving.load(ordering: .relaxed) + inFlightCount }

  func bodyBegan() { bodiesArriving.add(1, ordering: .relaxed) }
  func bodyEnded() { bodiesArriving.subtract(1, ordering: .relaxed) }

  func connectionOpened() {
    connections.add(1, ordering: .sequentiallyConsistent)
    accepted.add(1, ordering: .relaxed)
  }

  func acceptingPaused() { acceptPauses.add(1, ordering: .relaxed) }

  func connectionClosed() { connections.subtract(1, ordering: .sequentiallyConsistent) }

  func release(_ reservation: inout Reservation) {
    if reservation.hasPermit { inFlight.subtract(1, ordering: .relaxed) }
    if reservation.bytes > 0 { bodyBytes.subtract(reservation.bytes, ordering: .relaxed) }
    reservation = Reservation()
  }

  func takeInFlight() -> Bool { Self.take(1, of: inFlight, upTo: maximumInFlight) }

  /// - Parameter held: what the same request holds already.
  func takeBodyBytes(_ count: Int, beside held: Int = 0) -> Bool {
    let before = bodyBytes.load(ordering: .relaxed)
    guard before <= held || before <= bodyShare - count else { return false }
    return takeMemory(count, of: bodyBytes)
  }

  /// Room for a whole body before it has come; false where others that have not come have too much.
  ///
  /// Nobody has touched that memory, but address space may be limited as well. Together they have a quarter of the limit,
  /// or one is alone.
  func takeRoom(_ count: Int) -> Bool {
    let old = roomBytes.add(count, ordering: .relaxed).oldValue
    guard old > 0, old > maximumBytes / 4 - count else { return true }
    giveRoom(count)
    return false
  }

  func giveRoom(_ count: Int) { roomBytes.subtract(count, ordering: .relaxed) }

  func takeWorkBytes(_ count: Int) -> Bool {
    guard takeMemory(count, of: workBytes) else { return false }
    workBytesTotal.add(count, ordering: .relaxed)
    return true
  }

  func giveWorkBytes(_ count: Int) { workBytes.subtract(count, ordering: .relaxed) }

  func takeConnectionBytes(_ count: Int) -> Bool { takeMemory(count, of: connectionBytes) }

  func giveConnectionBytes(_ count: Int) { connectionBytes.subtract(count, ordering: .relaxed) }

  func endedJobs(_ change: Int) { ended.add(change, ordering: .relaxed) }

  /// Of three counters that share one limit.
  ///
  /// Adds first and takes back on excess: concurrent takers may both be rejected at the edge, never both granted.
  private func takeMemory(_ amount: Int, of counter: borrowing Atomic<Int>) -> Bool {
    counter.add(amount, ordering: .sequentiallyConsistent)
    let held =
      bodyBytes.load(ordering: .sequentiallyConsistent) + workBytes.load(ordering: .sequentiallyConsistent)
      + connectionBytes.load(ordering: .sequentiallyConsistent)
    guard held > maximumBytes else { return true }
    counter.subtract(amount, ordering: .relaxed)
    return false
  }

  private static func take(_ amount: Int, of counter: borrowing Atomic<Int>, upTo maximum: Int) -> Bool {
    let (old, _) = counter.add(amount, ordering: .relaxed)
    guard old > maximum - amount else { return true }
    counter.subtract(amount, ordering: .relaxed)
    return false
  }
}

/// What one request holds of the server's capacity, until it is computed.
struct Reservation: Sendable {
  var bytes = 0
  var hasPermit = false
}
