import HTTP1
import Logging
import PruningService
import Transport

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Runs the server until it is told to stop, and returns when everything accepted is answered.
///
/// SIGTERM drains: readiness turns 503 at once, connections are still accepted for the drain delay, what is in
/// flight is finished. SIGINT does the same without the delay. A second one stops at once. SIGHUP reads the key file
/// again.
func runServer(_ configuration: ServerConfiguration) async throws {
  signal(SIGPIPE, SIG_IGN)
  let sink = LogSink(descriptor: STDERR_FILENO)
  defer { sink.flush() }
  let logger = configuration.logger(to: sink)
  let descriptorLimit = Process.raiseDescriptorLimit()
  if descriptorLimit < configuration.maxConnections + 64 {
    logger.warning(
      "max-connections is above what the system allows; accepting pauses when descriptors run out",
      metadata: ["max-connections": "\(configuration.maxConnections)", "descriptors": "\(descriptorLimit)"])
  }

  let keyFile: KeyFile?
  do throws(ConfigurationError) {
    keyFile = try configuration.apiKeyFile.map(KeyFile.init(path:))
  } catch {
    throw Exit.badConfiguration.saying("\(error)")
  }
  if let warning = keyFile?.warning { logger.warning("\(warning)") }
  let transport = configuration.transport
  let capacity = Capacity(transport)
  let lifecycle = Lifecycle(isOverloaded: { capacity.isExhausted })
  let metrics = Metrics()
  let service = Service(
    configuration.service(keys: keyFile?.keys), lifecycle: lifecycle, metrics: metrics,
    accessLog: configuration.accessLog(to: sink))
  let server: Server
  do throws(Server.StartError) {
    server = try Server(transport, capacity: capacity, responder: service)
    metrics.add(gaugesOf: server)
    // Watched before the first request can be accepted, so that no signal finds the default action.
    let signals = Signals([SIGTERM, SIGINT, SIGHUP])
    try server.start()
    lifecycle.enter(.ready)
    for address in server.addresses {
      logger.notice(
        "listening",
        metadata: ["address": "\(address)", "url": "http://\(address)", "version": "\(Version.current)"])
    }
    await serve(server, lifecycle, configuration, signals, keyFile, logger)
  } catch {
    sink.flush()
    throw Exit.cannotListen.saying("\(error)")
  }
  logger.notice("stopped")
}

private func serve(
  _ server: Server, _ lifecycle: Lifecycle, _ configuration: ServerConfiguration, _ signals: Signals,
  _ keyFile: KeyFile?, _ logger: Logger
) async {
  await withTaskGroup { group in
    for await number in signals.numbers {
      guard number != SIGHUP else {
        reload(keyFile, logger)
        continue
      }
      guard lifecycle.phase != .draining else {
        logger.warning(
          "second signal: stopping now", metadata: ["in-flight": "\(server.capacity.inFlightCount)"])
        server.stopNow()
        continue
      }
      lifecycle.enter(.draining)
      let delay = number == SIGINT ? Duration.zero : configuration.drainDelay
      logger.notice(
        "draining",
        metadata: [
          "delay": "\(delay)", "timeout": "\(configuration.shutdownTimeout)",
          "connections": "\(server.capacity.connectionCount)",
        ])
      group.addTask {
        await server.shutDown(drainDelay: delay, timeout: configuration.shutdownTimeout)
        signals.finish()
      }
    }
  }
}

private func reload(_ keyFile: KeyFile?, _ logger: Logger) {
  guard let keyFile else {
    // The signal's default action would end the process, and whatever it is doing, without a drain.
    logger.notice("SIGHUP: nothing to reload; restart to change a setting")
    return
  }
  do {
    let now = try keyFile.reload()
    logger.notice("reloaded", metadata: ["what": "API keys", "now": "\(now)"])
  } catch {
    logger.error(
      "not reloaded: what was in force stays", metadata: ["what": "API keys", "error": "\(error)"])
  }
}

extension ServerConfiguration {
  fileprivate var transport: TransportConfiguration {
    let cores = Process.coreCount
    var transport = TransportConfiguration()
    transport.host = httpHost
    transport.port = UInt16(httpPort)
    transport.eventLoops = eventLoopCount(cores: cores)
    transport.computeThreads = computeThreadCount(cores: cores)
    transport.maximumConnections = maxConnections
    transport.maximumInFlight = maxInFlight
    transport.maximumInFlightBytes = maxInFlightBytes
    transport.headTimeout = headerTimeout
    transport.bodyTimeout = bodyTimeout
    transport.idleTimeout = idleTimeout
    return transport
  }

  fileprivate func service(keys: APIKeys?) -> Service.Configuration {
    var service = Service.Configuration(maximumBodyBytes: maxBodyBytes)
    service.apiKeys = keys
    service.compressesResponses = responseCompression
    service.crossOrigin = corsAllowedOrigins.isEmpty ? nil : CrossOrigin(allowing: corsAllowedOrigins)
    return service
  }

  fileprivate func logger(to sink: LogSink) -> Logger {
    let format = logFormat
    let level = Logger.Level(rawValue: logLevel.rawValue) ?? .info
    return Logger(label: "crop") { _ in LineLogHandler(format: format, level: level, sink: sink) }
  }

  fileprivate func accessLog(to sink: LogSink) -> AccessLog? {
    guard accessLog, [.trace, .debug, .info].contains(logLevel) else { return nil }
    return AccessLog(
      format: logFormat == .json ? .json : .text, timestamp: { Timestamp.now() }, write: { sink.write($0) })
  }
}

extension Metrics {
  fileprivate func add(gaugesOf server: Server) {
    let capacity = server.capacity
    let pool = server.pool
    add(Gauge("crop_connections", "Open client connections.") { Double(capacity.connectionCount) })
    add(
      Gauge("crop_connections_accepted_total", "Connections accepted since the start.", isCounter: true) {
        Double(capacity.acceptedCount)
      })
    add(
      Gauge(
        "crop_requests_in_flight",
        "Requests received, queued or computed with a permit; tiny ones, answered where they arrive, take none."
      ) {
        Double(capacity.inFlightCount)
      })
    add(
      Gauge("crop_request_body_bytes_in_flight", "Bytes held for request bodies and unsent answers.") {
        Double(capacity.inFlightBodyBytes)
      })
    add(Gauge("crop_buffer_pool_bytes", "Bytes of body buffers kept for reuse.") { Double(pool.heldBytes) })
    add(
      Gauge("process_resident_memory_bytes", "Resident memory size in bytes.") {
        Double(Process.residentBytes)
      })
    add(Gauge("process_open_fds", "Number of open file descriptors.") { Double(Process.openDescriptorCount) })
    add(
      Gauge("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", isCounter: true)
      {
        Process.cpuSeconds
      })
  }
}
