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
/// flight is finished. SIGINT does the same without the delay. A second one stops at once. SIGHUP changes nothing.
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

  let transport = configuration.transport
  let capacity = Capacity(transport)
  let lifecycle = Lifecycle(isOverloaded: { capacity.isExhausted })
  let metrics = Metrics()
  let service = Service(
    Service.Configuration(maximumBodyBytes: configuration.maxBodyBytes), lifecycle: lifecycle,
    metrics: metrics, accessLog: configuration.accessLog(to: sink))
  let server: Server
  do throws(Server.StartError) {
    server = try Server(transport, capacity: capacity, responder: service)
    metrics.add(gaugesOf: server, transport)
    // Watched before the first request can be accepted, so that no signal finds the default action.
    let signals = Signals([SIGTERM, SIGINT, SIGHUP])
    try server.start()
    lifecycle.enter(.ready)
    for address in server.addresses {
      logger.notice(
        "listening",
        metadata: ["address": "\(address)", "url": "http://\(address)", "version": "\(Version.current)"])
    }
    await serve(server, lifecycle, configuration, signals, logger)
  } catch {
    sink.flush()
    throw Exit.cannotListen.saying("\(error)")
  }
  logger.notice("stopped")
}

private func serve(
  _ server: Server, _ lifecycle: Lifecycle, _ configuration: ServerConfiguration, _ signals: Signals,
  _ logger: Logger
) async {
  await withTaskGroup { group in
    for await number in signals.numbers {
      guard number != SIGHUP else {
        // Its default action would end the process, and whatever it is doing, without a drain.
        logger.notice("SIGHUP ignored: no setting can be reloaded; restart to change one")
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
