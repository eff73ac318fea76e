public import Synchronization

/// Where the process is between start and end; decides what readiness answers.
public final class Lifecycle: Sendable {
  public enum Phase: UInt8, Sendable, AtomicRepresentable {
    case starting
    case ready
    /// Told to stop: finishing what it has, taking what still arrives, asking for no more.
    case draining
  }

  private let current = Atomic(Phase.starting)
  private let isOverloaded: @Sendable () -> Bool
  private let staysReadyWhenOverloaded: Bool

  /// - Parameters:
  ///   - isOverloaded: true while a request that computes would be rejected.
  ///   - staysReadyWhenOverloaded: whether readiness stays 200 meanwhile. A balancer that takes an overloaded replica
  ///     out sends its load to the others, which are then overloaded, too; when all are out, every request is lost.
  public init(
    isOverloaded: @escaping @Sendable () -> Bool = { false }, staysReadyWhenOverloaded: Bool = true
  ) {
    self.isOverloaded = isOverloaded
    self.staysReadyWhenOverloaded = staysReadyWhenOverloaded
  }

  public var phase: Phase { current.load(ordering: .acquiring) }

  public func enter(_ phase: Phase) { current.store(phase, ordering: .releasing) }

  /// Whether readiness is 200.
  var isReady: Bool { phase == .ready && (staysReadyWhenOverloaded || !isOverloaded()) }

  /// One word for probes and logs.
  var readiness: String {
    switch phase {
    case .starting: "starting"
    case .draining: "draining"
    case .ready: isOverloaded() ? "overloaded" : "ready"
    }
  }
}
