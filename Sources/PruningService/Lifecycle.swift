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

  /// - Parameter isOverloaded: true while a request that computes would be refused.
  public init(isOverloaded: @escaping @Sendable () -> Bool = { false }) { self.isOverloaded = isOverloaded }

  public var phase: Phase { current.load(ordering: .acquiring) }

  public func enter(_ phase: Phase) { current.store(phase, ordering: .releasing) }

  /// One word for probes and logs; only "ready" means that requests are wanted.
  var readiness: String {
    switch phase {
    case .starting: "starting"
    case .draining: "draining"
    case .ready: isOverloaded() ? "overloaded" : "ready"
    }
  }
}
