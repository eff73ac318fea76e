public import HTTP1

/// Everything an operator may set about the server's sockets, buffers and threads.
public struct TransportConfiguration: Sendable {
  /// Where connections are accepted; `Server.endpoints` tells which ports the system chose.
  public var listeners: [ListenerConfiguration] = [.tcp("127.0.0.1", 8080)]
  /// TCP listeners share their address with other sockets of this user that say so too (SO_REUSEPORT).
  public var reusesPort = false
  public var backlog: Int32 = 1024

  /// Event loops, one thread each.
  public var eventLoops = 2
  /// Plain bodies that announce at least that many bytes are received by loops of their own, half as many as the others,
  /// and computed by threads of their own, as many as ``computeThreads``: nothing smaller waits for them. With `Int.max`
  /// there are none.
  public var bulkBodyBytes = 8 << 20
  /// How loops learn which sockets are ready.
  public var readiness = ReadinessKind.standard
  /// How long a loop goes on asking for the rest of a body that comes quickly over TCP before it waits for it; zero
  /// never does.
  public var receiveSpin: Duration = .zero
  /// The same for Unix sockets.
  public var unixReceiveSpin: Duration = .zero
  /// Processors of this machine.
  public var processorCount = 1
  /// Threads that compute responses.
  public var computeThreads = 2

  /// The priority of the threads for large bodies.
  public var bulkPriority = BulkPriority.normal

  /// Connections served normally. A reserve of ``probeReserve`` more is accepted to answer probes; everything
  /// else on them gets 503.
  public var maximumConnections = 10_000
  /// Requests that are queued or computed at the same time, over all connections (429).
  public var maximumInFlight = 256
  /// Bytes held for clients at the same time, over all connections: request bodies, what they are computed with,
  /// unsent answers, buffers of connections (503).
  public var maximumInFlightBytes = 512 << 20
  /// File descriptors of shared memory that clients may have passed over Unix sockets at the same time, over all
  /// connections; each is held until its bytes are copied. Zero takes none.
  public var maximumDescriptors = 256
  /// Resident memory above which the allocator gives back what it keeps.
  public var residentBytes = Int.max

  /// What listeners that begin with TLS use; they need one.
  public var tls: TLSSource?

  public var headLimits = HTTPLimits()

  /// From the first byte of a head to its last.
  public var headTimeout: Duration = .seconds(10)
  /// Grace for a body or a response; on top of it each byte moved earns 1 / ``minimumBytesPerSecond``.
  public var bodyTimeout: Duration = .seconds(20)
  /// Slower peers than this, beyond the grace, are cut off.
  public var minimumBytesPerSecond = 16 << 10
  /// Between requests. Above the 60 s after which proxies drop idle upstream connections, so that the proxy,
  /// not this server, closes first.
  public var idleTimeout: Duration = .seconds(65)

  /// Buffers kept for the next body.
  public var pooledBytes = 128 << 20

  /// Memory of one TLS session, about what OpenSSL and its buffers take.
  static let tlsSessionBytes = 64 << 10

  public static let probeReserve = 64

  /// How long to poll an empty socket while that many requests are received or computed.
  ///
  /// Not at all when others want the processor: with more of them than processors there is always something better to
  /// do.
  func receiveSpin(isUnix: Bool, busyCount: Int) -> Duration {
    guard busyCount <= processorCount else { return .zero }
    return isUnix ? unixReceiveSpin : receiveSpin
  }

  /// Event loops for whatever is not large; the others, ``bulkLoopCount``, come behind them.
  var briefLoopCount: Int { max(eventLoops, 1) }
  var bulkLoopCount: Int { bulkBodyBytes == .max ? 0 : (briefLoopCount + 1) / 2 }

  /// Those for large bodies included, as in ``threadCount``.
  public var loopCount: Int { briefLoopCount + bulkLoopCount }

  /// All threads of a server.
  public var threadCount: Int { loopCount + computeThreads * (bulkLoopCount > 0 ? 2 : 1) }

  public init() {}
}
