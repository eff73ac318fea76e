import HTTP1
import Transport

/// Everything that can be set about the server, typed and in range; a fresh value holds the defaults.
///
/// ``Setting/all`` names each member for flags, environment and files, and says what it may be.
struct ServerConfiguration: Sendable, Equatable {
  /// Which memory of clients a request's body may lie in.
  enum SharedMemoryUse: String, CaseIterable, Sendable { case off, descriptors, named }
  enum LogFormat: String, CaseIterable, Sendable { case text, json }
  enum LogLevel: String, CaseIterable, Sendable {
    case trace, debug, info, notice, warning, error, critical
  }

  var httpHost = "127.0.0.1"
  /// 0 lets the system pick.
  var httpPort = 8080
  /// Takes the place of `httpHost` and `httpPort` unless empty.
  var listen: [ListenAddress] = []
  /// Where probes and metrics are served by a server of their own; the other addresses then serve no metrics.
  var adminListen: [ListenAddress] = []
  /// Whose word on the client's address the access log takes.
  var trustedProxies = TrustedProxies.none
  var forwardedHeader = ForwardedClient.Field.xForwardedFor
  var unixSocket: String?
  var unixSocketMode = 0o660
  var reusePort = false
  /// With both of these the addresses of https:// are served, and `httpHost`:`httpPort` becomes one of them.
  var tlsCert: String?
  var tlsKey: String?
  var tlsClientCA: String?
  var maxBodyBytes = 64 << 20
  // 10,000 idle keep-alive connections must fit with room for the working ones.
  var maxConnections = 16_384
  /// Requests queued or computed.
  var maxInFlight = 256
  /// Bytes held for clients at once, over all connections; 0 follows from the limits of the process, ``MemoryLimit``.
  var maxInFlightBytes = 0
  var sharedMemory = SharedMemoryUse.descriptors
  var headerTimeout = Duration.seconds(10)
  var bodyTimeout = Duration.seconds(10)
  var computeTimeout = Duration.seconds(5)
  // Proxies keep idle upstream connections for up to 60 s. The server must outlast them: the side that
  // closes first decides whether a request is lost on a dying connection.
  var idleTimeout = Duration.seconds(65)
  // Two readiness probes 2 s apart, and the time routers take to hear of it.
  var drainDelay = Duration.seconds(5)
  var shutdownTimeout = Duration.seconds(30)
  var readyWhenOverloaded = true
  /// 0 means one per processor that the process may use, at most ``largestAutomaticEventLoopCount``.
  var eventLoops = 0
  /// 0 means one per processor that the process may use.
  var computeThreads = 0
  /// Microseconds.
  var receiveSpin = 0
  var unixReceiveSpin = 50
  var bulkPriority = BulkPriority.low
  var readiness = ReadinessKind.standard
  var cpuLevel = CPULevel.auto
  /// Nil: no learned models.
  var models: String?
  /// Nil: whoever reaches the port may ask.
  var apiKeyFile: String?
  /// `*` stands for all.
  var corsAllowedOrigins: [String] = []
  var responseCompression = false
  var logFormat = LogFormat.text
  var logLevel = LogLevel.info
  var accessLog = true
  /// Nil: no spans.
  var otlpEndpoint: String?
  var otlpServiceName = Self.defaultServiceName
  var otlpResourceAttributes: [ResourceAttribute] = []
  var otlpRatio = 1.0

  static let defaultServiceName = "crop"

  // Event loops only move bytes; more than this many only take cores away from the computation.
  static let largestAutomaticEventLoopCount = 4

  func eventLoopCount(processors: Int) -> Int {
    eventLoops > 0 ? eventLoops : min(max(processors, 1), Self.largestAutomaticEventLoopCount)
  }

  func computeThreadCount(processors: Int) -> Int {
    computeThreads > 0 ? computeThreads : max(processors, 1)
  }
}
