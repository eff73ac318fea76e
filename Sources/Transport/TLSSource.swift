import Locking
public import TLS

/// The TLS context for connections accepted from now on; it can be replaced while the server runs.
///
/// Connections keep the context that they began with.
public final class TLSSource: Sendable {
  private let context: Locked<TLSContext>

  public init(_ context: TLSContext) { self.context = Locked(context) }

  public var current: TLSContext { context.withLock { $0 } }

  public func replace(with context: TLSContext) { self.context.withLock { $0 = context } }
}
