extension Setting {
  /// Every setting, in the order in which help, files and `--print-config` show them.
  static let all: [Setting] = listening + tls + limits + timeouts + threads + models + access + logs + tracing

  /// The setting behind a member.
  ///
  /// - Precondition: the table has a row for it.
  static func of(_ member: PartialKeyPath<ServerConfiguration>) -> Setting {
    guard let setting = all.first(where: { $0.member == member }) else {
      preconditionFailure("no setting describes \(member)")
    }
    return setting
  }

  private static let listening = [
    Setting(
      "http.host", \.httpHost, .host,
      "Address to listen on: 127.0.0.1 for this machine only, 0.0.0.0 for all IPv4 interfaces, :: for all.",
      otherFlags: ["host"]),
    Setting(
      "http.port", \.httpPort, .integer(0...65_535),
      "TCP port; 0 lets the system pick one, and the first log line says which.", otherFlags: ["port"],
      platformVariable: "PORT"),
    Setting(
      "listen", \.listen, .addresses,
      "Addresses to listen on instead of http.host and http.port, with commas between."),
    Setting(
      "admin-listen", \.adminListen, .addresses,
      "Addresses for probes and metrics alone, with threads of their own; the others then serve no metrics."),
    Setting(
      "unix-socket", \.unixSocket, .path,
      "Socket file to listen on beside the addresses; one that a dead server left is replaced."),
    Setting("unix-socket-mode", \.unixSocketMode, .fileMode, "Permission bits of every socket file."),
    Setting(
      "reuse-port", \.reusePort, .toggle,
      "Share the TCP addresses with other servers of this user (SO_REUSEPORT): the next one starts before this ends."
    ),
    Setting(
      "trusted-proxies", \.trustedProxies, .proxies,
      "Proxies whose word on the client's address is taken for the access log, by network; unix is every socket file."
    ),
    Setting(
      "forwarded-header", \.forwardedHeader, .choice(),
      "The field to which trusted proxies append the address that they were asked from."),
  ]

  private static let tls = [
    Setting(
      "tls.cert", \.tlsCert, .file,
      "PEM file of the server's certificate and the intermediate ones; with it http.port speaks HTTPS. Read again on SIGHUP."
    ),
    Setting("tls.key", \.tlsKey, .file, "PEM file of the certificate's private key, not encrypted."),
    Setting(
      "tls.client-ca", \.tlsClientCA, .file,
      "PEM file of authorities, one of which must have issued each client's certificate; none asks for no certificate."
    ),
  ]

  private static let limits = [
    Setting(
      "max-body-bytes", \.maxBodyBytes, .bytes((1 << 10)...(1 << 36)),
      "Largest request body, after decoding; a larger one is rejected with 413."),
    Setting(
      "max-connections", \.maxConnections, .integer(1...1_000_000),
      "Open connections, idle ones included; beyond it 503."),
    Setting(
      "max-in-flight", \.maxInFlight, .integer(1...1_000_000),
      "Requests queued or computed; beyond it 429."),
    Setting(
      "max-in-flight-bytes", \.maxInFlightBytes, .bytes(0...(1 << 40)),
      "Bytes held for clients at once: bodies, what they are computed with, answers, buffers; beyond it 503. At least "
        + "max-body-bytes; 0 takes what the control group, ulimit or machine allows."),
    Setting(
      "shared-memory", \.sharedMemory, .choice(),
      "Memory of clients that bodies may lie in: none (off), what they pass over Unix sockets (descriptors), or also what "
        + "they register by its name under /dev/shm (named)."),
  ]

  private static let timeouts = [
    Setting(
      "header-timeout", \.headerTimeout, .duration(.milliseconds(1)...(.seconds(3600))),
      "Longest time from a request's first byte to the end of its head; then 408."),
    Setting(
      "body-timeout", \.bodyTimeout, .duration(.milliseconds(1)...(.seconds(3600))),
      "Grace for a request body or an answer, beyond which the peer must move 16 KiB/s on average; then 408."),
    Setting(
      "compute-timeout", \.computeTimeout, .duration(.milliseconds(1)...(.seconds(3600))),
      "Longest time to compute one answer, from the body's last byte on; then 503."),
    Setting(
      "idle-timeout", \.idleTimeout, .duration(.milliseconds(1)...(.seconds(86_400))),
      "How long a connection without a request stays open; keep it above the proxy's (usually 60s)."),
    Setting(
      "drain-delay", \.drainDelay, .duration(.zero...(.seconds(3600))),
      "After SIGTERM, how long connections are still accepted while readiness says 503."),
    Setting(
      "shutdown-timeout", \.shutdownTimeout, .duration(.zero...(.seconds(3600))),
      "After the drain delay, how long requests in flight may take to finish."),
    Setting(
      "ready-when-overloaded", \.readyWhenOverloaded, .toggle,
      "Whether readiness stays 200 while requests are rejected with 429 or 503 for lack of room."),
  ]

  private static let threads = [
    Setting(
      "event-loops", \.eventLoops, .integer(0...64),
      "Threads that move bytes; 0 means one per processor that the process may use, at most "
        + "\(ServerConfiguration.largestAutomaticEventLoopCount)."),
    Setting(
      "compute-threads", \.computeThreads, .integer(0...1024),
      "Threads that compute answers; 0 means one per processor that the process may use."),
    Setting(
      "receive-spin", \.receiveSpin, .integer(0...1000),
      "Microseconds of busy polling for the rest of a body that arrives quickly over TCP; 0 turns it off."
    ),
    Setting(
      "unix-receive-spin", \.unixReceiveSpin, .integer(0...1000),
      "The same for Unix sockets, where busy polling saves both sides a wake-up per piece."),
    Setting(
      "bulk-priority", \.bulkPriority, .choice(),
      "Scheduling priority of the threads that serve bodies of 8 MiB and more: normal, low (nice) or idle."
    ),
    Setting(
      "readiness", \.readiness, .choice(),
      "How ready sockets are found: epoll, or dispatch (libdispatch), which is slower and runs on any system."
    ),
    Setting(
      "cpu-level", \.cpuLevel, .choice(),
      "Instructions to compute with: the best that the processor has (auto), baseline, v3 (AVX2) or v4 (AVX-512) "
        + "of x86-64, neon of arm64."),
  ]

  private static let models = [
    Setting(
      "models", \.models, .folder,
      "Folder of learned models, each NAME.safetensors, which requests may name; read again on SIGHUP.")
  ]

  private static let access = [
    Setting(
      "api-key-file", \.apiKeyFile, .file,
      "File of API keys, KEY or NAME KEY a line, one of which every request but those of probes, metrics and pages must carry; "
        + "read again on SIGHUP."),
    Setting(
      "cors-allowed-origins", \.corsAllowedOrigins, .origins,
      "Web pages that may read answers in a browser, by origin, with commas between."),
    Setting(
      "response-compression", \.responseCompression, .toggle,
      "Send text answers of 1 KiB and more as gzip or deflate to clients that prefer it; tensors never."),
  ]

  private static let logs = [
    Setting(
      "log-format", \.logFormat, .choice(),
      "Log lines on standard error: text for people, json (one object a line) for collectors."),
    Setting("log-level", \.logLevel, .choice(), "Least severe message that is logged."),
    Setting("access-log", \.accessLog, .toggle, "One log line per answered request, except probes."),
  ]

  private static let tracing = [
    Setting(
      "otlp.endpoint", \.otlpEndpoint, .collector,
      "OpenTelemetry collector to which spans of requests are exported, by OTLP/HTTP at its path /v1/traces."),
    Setting("otlp.service-name", \.otlpServiceName, .name, "The service.name of exported spans."),
    Setting(
      "otlp.resource-attributes", \.otlpResourceAttributes, .attributes,
      "Further facts of this process in exported spans, key=value with commas between."),
    Setting(
      "otlp.ratio", \.otlpRatio, .share,
      "Share of requests without a traceparent that begin a trace of their own; others follow the caller's decision."
    ),
  ]
}
