import ArgumentParser
import HTTP1
import LibC
import Logging
import PruningService
import TLS
import Transport

/// Runs the server until a signal stops it, and returns when every accepted request has its response.
///
/// SIGTERM drains: readiness turns 503 at once, connections are still accepted for the drain delay, what is in
/// flight is finished. SIGINT does the same without the delay. A second one stops at once. SIGHUP reloads.
///
/// - Parameters:
///   - inherited: sockets that listen already, in place of the configured TCP addresses.
///   - manager: is told when the server is ready, reloads and drains, and that it lives.
func runServer(
  _ configuration: ServerConfiguration, inherited: [ListenerConfiguration] = [],
  _ manager: ServiceManager? = nil
) async throws {
  signal(SIGPIPE, SIG_IGN)
  let format = configuration.logFormat
  let sink = LogSink(descriptor: STDERR_FILENO) { lines in
    LineLogHandler.line(format, .warning, "log lines lost", ["lines": .stringConvertible(lines)])
  }
  defer { sink.flush() }
  let logger = configuration.logger(to: sink)
  let descriptorLimit = Process.raiseDescriptorLimit()
  if descriptorLimit < configuration.maxConnections + configuration.maximumDescriptors + 64 {
    logger.warning(
      "max-connections is above what the system allows; accepting pauses when descriptors run out",
      metadata: [
        "max-connections": .stringConvertible(configuration.maxConnections),
        "descriptors": .stringConvertible(descriptorLimit),
      ])
  }

  let certificates = CertificateFiles(configuration)
  let tls = try loadTLS(certificates, sink, logger)
  let keyFile = try loadKeys(configuration, sink, logger)
  let models = try loadModels(configuration, sink, logger)
  let processors = ProcessorBudget.current()
  var transport = configuration.transport(inherited: inherited, processors: processors.count)
  transport.tls = tls
  let capacity = Capacity(transport)
  let lifecycle = Lifecycle(
    isOverloaded: { capacity.isExhausted }, staysReadyWhenOverloaded: configuration.readyWhenOverloaded)
  let metrics = Metrics()
  let sharedRegions = configuration.sharedRegions()
  let exporter = configuration.spanExporter(logger)
  let tracer = exporter?.tracer(configuration.tracing)
  let hasAdministration = !configuration.adminListen.isEmpty
  func service(_ exposure: Service.Exposure) -> Service {
    Service(
      configuration.service(
        keys: keyFile?.keys, models: models.store, sharedRegions: sharedRegions,
        memoryBytes: transport.maximumInFlightBytes, eventLoops: transport.loopCount),
      lifecycle: lifecycle,
      metrics: metrics, accessLog: configuration.accessLog(to: sink), tracer: tracer, exposure: exposure)
  }
  let entries =
    reloadables(certificates, tls, logger) + (keyFile.map { [$0.reloading] } ?? []) + models.reloading
  let reloading = Reloading(entries: entries, logger: logger)
  do throws(Server.StartError) {
    let server = try Server(
      transport, capacity: capacity, responder: service(hasAdministration ? .allButMetrics : .all))
    let administration = try configuration.administration(tls: tls).map {
      transport throws(Server.StartError) in
      try Server(transport, capacity: Capacity(transport), responder: service(.administration))
    }
    metrics.add(gaugesOf: server, transport)
    metrics.add(gaugesOf: sharedRegions)
    metrics.add(counterOf: sink)
    if let tracer { metrics.add(countersOf: tracer) }
    if let tls { metrics.add(gaugeOf: tls) }
    // Watched before the first request can be accepted, so that no signal finds the default action.
    let signals = Signals(Signals.ofServer)
    try administration?.start()
    try server.start()
    lifecycle.enter(.ready)
    log(server.endpoints, of: configuration, to: logger)
    log(administration, transport, processors, to: logger)
    logger.notice(
      "memory",
      metadata: [
        "clients": "\(transport.maximumInFlightBytes)", "resident": "\(transport.residentBytes)",
        "limit": "\(MemoryLimit.ofThisProcess())",
      ])
    manager?.ready(at: server.endpoints, logger)
    let watchdog = manager?.watchdog(over: [server] + (administration.map { [$0] } ?? []))
    await serve(
      server, administration, lifecycle, configuration, signals, reloading, exporter, logger, manager)
    watchdog?.cancel()
  } catch {
    sink.flush()
    throw Exit.cannotListen.saying("\(error)" + advice(on: error))
  }
  logger.notice("stopped")
}

/// What to do about an address that cannot be had.
private func advice(on error: Server.StartError) -> String {
  guard case .listening(let address, let cause) = error else { return "" }
  switch cause.code {
  case EADDRINUSE:
    return "; another program listens there ('ss -ltnp' shows which): stop it, or choose another port with "
      + "http.port (--http-port) or listen"
  case EACCES:
    return address.hasPrefix("unix:")
      ? "; the folder must be writable" : "; ports below 1024 need a privilege, 8080 needs none"
  case EADDRNOTAVAIL: return "; no interface of this machine has that address"
  default: return ""
  }
}

private func loadTLS(
  _ files: CertificateFiles?, _ sink: LogSink, _ logger: Logger
) throws -> TLSSource? {
  guard let files else { return nil }
  let context = try configured(sink, files.load)
  files.log(context, to: logger)
  return TLSSource(context)
}

private func loadKeys(
  _ configuration: ServerConfiguration, _ sink: LogSink, _ logger: Logger
) throws -> KeyFile? {
  guard let path = configuration.apiKeyFile else { return nil }
  let file = try configured(sink) { () throws(ConfigurationError) in try KeyFile(path: path) }
  if let warning = file.warning { logger.warning("\(warning)") }
  return file
}

/// Ends the program where what the configuration names cannot be had, after what was logged before.
private func configured<Value, Failure: Error>(
  _ sink: LogSink, _ load: () throws(Failure) -> Value
) throws(ExitCode) -> Value {
  try Exit.badConfiguration.unless { () throws(Failure) in
    do throws(Failure) {
      return try load()
    } catch {
      sink.flush()
      throw error
    }
  }
}

private func loadModels(
  _ configuration: ServerConfiguration, _ sink: LogSink, _ logger: Logger
) throws -> (store: ModelStore, reloading: [Reloadable]) {
  let store = ModelStore()
  guard let path = configuration.models else { return (store, []) }
  let directory = ModelDirectory(path: path)
  let set = try configured(sink, directory.load)
  store.replace(with: set)
  logger.notice("models", metadata: ["folder": "\(path)", "now": "\(ModelDirectory.text(of: set))"])
  return (store, [directory.reloading(store)])
}

private func reloadables(_ files: CertificateFiles?, _ tls: TLSSource?, _ logger: Logger) -> [Reloadable] {
  guard let files, let tls else { return [] }
  return [files.reloading(tls, logger: logger)]
}

private func log(
  _ endpoints: [ListeningEndpoint], of configuration: ServerConfiguration, to logger: Logger
) {
  if endpoints.contains(where: \.isInherited) {
    let replaced = configuration.listenAddresses.filter { if case .tcp = $0.place { true } else { false } }
    logger.notice(
      "socket activation: inherited sockets take the place of the configured TCP addresses",
      metadata: ["instead-of": "\(replaced.map(\.description).joined(separator: ","))"])
  }
  for endpoint in endpoints {
    logger.notice(
      "listening",
      metadata: [
        "address": "\(endpoint.address)", "url": "\(endpoint.url)", "version": "\(Version.current)",
      ])
  }
}

/// What was decided, and why: the first thing to look at where a container is slower than its machine.
private func log(
  _ administration: Server?, _ transport: TransportConfiguration, _ processors: ProcessorBudget,
  to logger: Logger
) {
  for endpoint in administration?.endpoints ?? [] {
    logger.notice(
      "listening for administration", metadata: ["address": "\(endpoint.address)", "url": "\(endpoint.url)"])
  }
  logger.notice(
    "threads",
    metadata: [
      "event-loops": .stringConvertible(transport.eventLoops),
      "compute-threads": .stringConvertible(transport.computeThreads),
      "processors": "\(processors.explanation)",
    ])
}

private func serve(
  _ server: Server, _ administration: Server?, _ lifecycle: Lifecycle, _ configuration: ServerConfiguration,
  _ signals: Signals, _ reloading: Reloading, _ exporter: SpanExporter?, _ logger: Logger,
  _ manager: ServiceManager?
) async {
  await withTaskGroup { group in
    for await number in signals.numbers {
      guard number != SIGHUP else {
        if let manager { manager.reloading(reloading.run) } else { reloading.run() }
        continue
      }
      guard lifecycle.phase != .draining else {
        logger.warning(
          "second signal: stopping now",
          metadata: ["in-flight": .stringConvertible(server.capacity.inFlightCount)])
        server.stopNow()
        continue
      }
      lifecycle.enter(.draining)
      manager?.draining()
      let delay = number == SIGINT ? Duration.zero : configuration.drainDelay
      logger.notice(
        "draining",
        metadata: [
          "delay": "\(delay)", "timeout": "\(configuration.shutdownTimeout)",
          "connections": .stringConvertible(server.capacity.connectionCount),
        ])
      let end = ContinuousClock.now + delay + configuration.shutdownTimeout
      group.addTask {
        await server.shutDown(drainDelay: delay, timeout: configuration.shutdownTimeout)
        // Probes and metrics tell of the drain until its end.
        await administration?.shutDown(drainDelay: .zero, timeout: .zero)
        exporter?.flush(within: min(max(end - .now, .zero), SpanExporter.longestFlush))
        signals.finish()
      }
    }
  }
}

extension ServerConfiguration {
  fileprivate func transport(
    inherited: [ListenerConfiguration], processors: Int
  ) -> TransportConfiguration {
    var transport = TransportConfiguration()
    transport.listeners = listeners(inherited: inherited)
    transport.reusesPort = reusePort
    transport.eventLoops = eventLoopCount(processors: processors)
    transport.computeThreads = computeThreadCount(processors: processors)
    transport.receiveSpin = .microseconds(receiveSpin)
    transport.unixReceiveSpin = .microseconds(unixReceiveSpin)
    transport.bulkPriority = bulkPriority
    transport.readiness = readiness
    transport.processorCount = processors
    transport.maximumConnections = maxConnections
    transport.maximumInFlight = maxInFlight
    transport.maximumDescriptors = maximumDescriptors
    let memory = MemoryLimit.ofThisProcess()
    let threads = transport.threadCount
    transport.maximumInFlightBytes =
      maxInFlightBytes > 0 ? maxInFlightBytes : memory.clientBytes(threads: threads)
    transport.residentBytes = MemoryLimit.residentBytes(
      holding: transport.maximumInFlightBytes, threads: threads)
    transport.headTimeout = headerTimeout
    transport.bodyTimeout = bodyTimeout
    transport.idleTimeout = idleTimeout
    return transport
  }

  /// A small server beside the other, which no load of the other reaches; nil when none is configured.
  fileprivate func administration(tls: TLSSource?) -> TransportConfiguration? {
    guard !adminListen.isEmpty else { return nil }
    var transport = TransportConfiguration()
    transport.listeners = adminListeners
    transport.reusesPort = reusePort
    transport.eventLoops = 1
    transport.computeThreads = 1
    transport.bulkBodyBytes = .max
    transport.readiness = readiness
    transport.maximumConnections = 256
    transport.maximumDescriptors = 0
    transport.maximumInFlightBytes = 1 << 20
    transport.pooledBytes = 1 << 20
    transport.headTimeout = headerTimeout
    transport.bodyTimeout = bodyTimeout
    transport.idleTimeout = idleTimeout
    transport.tls = tls
    return transport
  }

  /// Has the system start and end as many threads as a server so configured will need.
  ///
  /// - Throws: exit status 71, having said what is missing.
  func checkThreads() throws(ExitCode) {
    let processors = ProcessorBudget.current().count
    // Beside those of the servers: signals, the log, and what runs the program itself.
    let others = otlpEndpoint == nil ? 6 : 7
    let count =
      transport(inherited: [], processors: processors).threadCount
      + (administration(tls: nil)?.threadCount ?? 0) + others
    do throws(ThreadSupply.Shortage) {
      try ThreadSupply.check(count)
    } catch {
      throw Exit.cannotStart.saying(
        "cannot start \(error.wanted) threads, only \(error.started) (\(error.cause)); allow more processes "
          + "(ulimit -u, pids.max of the container) and memory (ulimit -v), or set event-loops and compute-threads"
      )
    }
  }

  /// Of clients, held at the same time: each until its bytes are copied.
  fileprivate var maximumDescriptors: Int { sharedMemory == .off ? 0 : max(64, maxInFlight) }

  fileprivate func sharedRegions() -> SharedRegions {
    guard sharedMemory == .named else { return SharedRegions() }
    return SharedRegions { key throws(SharedMemoryError) in try SharedFile(key: key) }
  }

  fileprivate func service(
    keys: APIKeys?, models: ModelStore, sharedRegions: SharedRegions, memoryBytes: Int, eventLoops: Int
  ) -> Service.Configuration {
    // A body that could never be held is rejected as too large, and not as one that may come again.
    var service = Service.Configuration(maximumBodyBytes: min(maxBodyBytes, memoryBytes))
    // All heads of all loops together keep a sixteenth of what clients may hold, and 8 MiB a loop, at most.
    service.maximumKeptBytes = min(
      service.maximumKeptBytes, memoryBytes / (16 * RecentHeads.maximumCount * eventLoops))
    service.apiKeys = keys
    service.models = models
    service.sharedRegions = sharedRegions
    service.computeTimeout = computeTimeout
    service.epochMilliseconds = { Timestamp.epochMilliseconds() }
    service.compressesResponses = responseCompression
    service.crossOrigin = corsAllowedOrigins.isEmpty ? nil : CrossOrigin(allowing: corsAllowedOrigins)
    return service
  }

  fileprivate func logger(to sink: LogSink) -> Logger {
    let format = logFormat
    let level = Logger.Level(rawValue: logLevel.rawValue) ?? .info
    return Logger(label: "crop") { _ in LineLogHandler(format: format, logLevel: level, sink: sink) }
  }

  fileprivate func accessLog(to sink: LogSink) -> AccessLog? {
    guard accessLog, [.trace, .debug, .info].contains(logLevel) else { return nil }
    return AccessLog(
      format: logFormat == .json ? .json : .text,
      client: trustedProxies.isEmpty ? nil : ForwardedClient(behind: trustedProxies, field: forwardedHeader),
      timestamp: Timestamp.append, write: { sink.write($0) })
  }
}

extension Metrics {
  fileprivate func add(counterOf sink: LogSink) {
    counter(
      "crop_log_lines_lost_total", Double(sink.droppedLineCount), "Log lines that could not be written.")
  }

  fileprivate func add(gaugesOf regions: SharedRegions) {
    gauge(
      "crop_shared_memory_regions", regions.count, "Regions of shared memory that are registered by name.")
  }

  fileprivate func add(gaugeOf tls: TLSSource) {
    gauge(
      "crop_tls_certificate_expiry_timestamp_seconds", tls.current.certificate.notAfter,
      "When the current TLS certificate expires, in seconds since 1970.")
  }
}
