public import LearnedNetworks
import Locking
import TokenPruning

/// The models in force, replaced as a whole while the service runs.
public final class ModelStore: Sendable {
  private let held: Locked<ModelSet>

  public init(_ set: ModelSet = ModelSet()) { held = Locked(set) }

  /// What a request that begins now works with to its end.
  public var current: ModelSet { held.withLock { $0 } }

  /// From the next request on, only these models are there.
  public func replace(with set: ModelSet) { held.withLock { $0 = set } }
}
