import Synchronization

/// What the server holds at this moment, and the caps on it; shared by all loops and read by `/metrics`.
public final class Capacity: Sendable {
  private let connections = Atomic(0)
  private let inFlight = Atomic(0)
  private let bodyBytes = Atomic(0)
  private let bodiesArriving = Atomic(0)
  private let accepted = Atomic(0)
  private let acceptPauses = Atomic(0)

  let maximumInFlight: Int
  let maximumBodyBytes: Int

  public init(_ configuration: TransportConfiguration) {
    maximumInFlight = configuration.maximumInFlight
    maximumBodyBytes = configuration.maximumInFlightBytes
  }

  public var connectionCount: Int { connections.load(ordering: .sequentiallyConsistent) }
  public var inFlightCount: Int { inFlight.load(ordering: .relaxed) }
  public var inFlightBodyBytes: Int { bodyBytes.load(ordering: .relaxed) }
  /// Connections accepted since the start.
  public var acceptedCount: Int { accepted.load(ordering: .relaxed) }

  /// How often accepting was paused, for want of descriptors or of room for one more connection.
  public var acceptPauseCount: Int { acceptPauses.load(ordering: .relaxed) }

  /// No request that computes would be admitted now.
  public var isExhausted: Bool { inFlightCount >= maximumInFlight || inFlightBodyBytes >= maximumBodyBytes }

  var isQueueFull: Bool { inFlightCount >= maximumInFlight }

  func hasRoom(forBodyBytes count: Int) -> Bool { inFlightBodyBytes <= maximumBodyBytes - count }

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

  func takeBodyBytes(_ count: Int) -> Bool { Self.take(count, of: bodyBytes, upTo: maximumBodyBytes) }

  /// Adds first and takes back on excess: concurrent takers may both be refused at the edge, never both granted.
  private static func take(_ amount: Int, of counter: borrowing Atomic<Int>, upTo maximum: Int) -> Bool {
    let (old, _) = counter.add(amount, ordering: .relaxed)
    if old > maximum - amount {
      counter.subtract(amount, ordering: .relaxed)
      return false
    }
    return true
  }
}

/// What one request holds of the server's capacity, until it is computed.
struct Reservation: Sendable {
  var bytes = 0
  var hasPermit = false
}
