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
      "TCP port; with 0 the system chooses one, shown in the first log line.", otherFlags: ["port"],
      platformVariable: "PORT"),
    Setting(
      "listen", \.listen, .addresses,
      "Addresses to listen on instead of http.host and http.port, comma-separated."),
    Setting(
      "admin-listen", \.adminListen, .addresses,
      "Addresses for probes and metrics only, with their own threads; other listeners then serve no metrics."),
    Setting(
      "unix-socket", \.unixSocket, .path,
      "Socket file to listen on in addition; the file of a dead server is replaced."),
    Setting("unix-socket-mode", \.unixSocketMode, .fileMode, "Permission bits of every socket file."),
    Setting(
      "reuse-port", \.reusePort, .toggle,
      "Share the TCP addresses with other servers of this user (SO_REUSEPORT), so that the next one can start before this one ends."
    ),
    Setting(
      "trusted-proxies", \.trustedProxies, .proxies,
      "Networks of proxies that are trusted to give the client's address for the access log; unix means all socket files."
    ),
    Setting(
      "forwarded-header", \.forwardedHeader, .choice(),
      "The header field to which trusted proxies append their client's address."),
  ]

  private static let tls = [
    Setting(
      "tls.cert", \.tlsCert, .file,
      "PEM file with the server's certificate and intermediate ones; with it http.port uses HTTPS. Reloaded on SIGHUP."
    ),
    Setting("tls.key", \.tlsKey, .file, "PEM file with the certificate's private key, not encrypted."),
    Setting(
      "tls.client-ca", \.tlsClientCA, .file,
      "PEM file with the authorities that client certificates must come from; with none no client certificate is requested."
    ),
  ]

  private static let limits = [
    Setting(
      "max-body-bytes", \.maxBodyBytes, .bytes((1 << 10)...(1 << 36)),
      "Largest request body, after decoding; a larger one is rejected with 413."),
    Setting(
      "max-connections", \.maxConnections, .integer(1...1_000_000),
      "Open connections, idle ones included; more get 503."),
    Setting(
      "max-in-flight", \.maxInFlight, .integer(1...1_000_000),
      "Requests queued or being computed; more get 429."),
    Setting(
      "max-in-flight-bytes", \.maxInFlightBytes, .bytes(0...(1 << 40)),
      "Bytes held for clients at once: bodies, working memory, responses, buffers; more gets 503. At least "
        + "max-body-bytes; 0 derives it from the limits of the control group, ulimit or machine."),
    Setting(
      "shared-memory", \.sharedMemory, .choice(),
      "Shared memory that bodies may be in: none (off), passed over Unix sockets (descriptors), or also regions "
        + "registered by name under /dev/shm (named)."),
  ]

  private static let timeouts = [
    Setting(
      "header-timeout", \.headerTimeout, .duration(.milliseconds(1)...(.seconds(3600))),
      "Longest time from a request's first byte to the end of its head, else 408."),
    Setting(
      "body-timeout", \.bodyTimeout, .duration(.milliseconds(1)...(.seconds(3600))),
      "Grace period of a body or response, after which the peer must average 16 KiB/s; a slower body gets 408."
    ),
    Setting(
      "compute-timeout", \.computeTimeout, .duration(.milliseconds(1)...(.seconds(3600))),
      "Longest time to compute a response, from the body's last byte, else 503."),
    Setting(
      "idle-timeout", \.idleTimeout, .duration(.milliseconds(1)...(.seconds(86_400))),
      "How long a connection without a request stays open; keep it above the proxy's (usually 60s)."),
    Setting(
      "drain-delay", \.drainDelay, .duration(.zero...(.seconds(3600))),
      "After SIGTERM, how long connections are still accepted while readiness returns 503."),
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
      "Threads for network I/O; 0 means one per processor that the process may use, at most "
        + "\(ServerConfiguration.largestAutomaticEventLoopCount)."),
    Setting(
      "compute-threads", \.computeThreads, .integer(0...1024),
      "Threads that compute responses; 0 means one per processor that the process may use."),
    Setting(
      "receive-spin", \.receiveSpin, .integer(0...1000),
      "Microseconds of busy polling for the rest of a body that arrives quickly over TCP; 0 turns it off."
    ),
    Setting(
      "unix-receive-spin", \.unixReceiveSpin, .integer(0...1000),
      "The same for Unix sockets, where busy polling saves a wake-up per piece on both sides."),
    Setting(
      "bulk-priority", \.bulkPriority, .choice(),
      "Scheduling priority of the threads that serve bodies of 8 MiB and more: normal, low (nice) or idle."
    ),
    Setting(
      "readiness", \.readiness, .choice(),
      "How ready sockets are detected: epoll, or dispatch (libdispatch), which is slower."
    ),
    Setting(
      "cpu-level", \.cpuLevel, .choice(),
      "Processor level of the inner loops: the best available (auto), baseline, v3 (AVX2) or v4 (AVX-512) "
        + "on x86-64, neon on arm64."),
  ]

  private static let models = [
    Setting(
      "models", \.models, .folder,
      "Folder of learned models, NAME.safetensors each, that requests can use by name; reloaded on SIGHUP.")
  ]

  private static let access = [
    Setting(
      "api-key-file", \.apiKeyFile, .file,
      "File of API keys, one KEY or NAME KEY per line; all requests except probes, metrics and pages need one; "
        + "reloaded on SIGHUP."),
    Setting(
      "cors-allowed-origins", \.corsAllowedOrigins, .origins,
      "Origins of web pages that may read responses in a browser, comma-separated."),
    Setting(
      "response-compression", \.responseCompression, .toggle,
      "Compress text responses of 1 KiB to 8 MiB with gzip or deflate for clients that prefer it; never tensors."
    ),
  ]

  private static let logs = [
    Setting(
      "log-format", \.logFormat, .choice(),
      "Format of log lines on standard error: text for people, json (one object per line) for collectors."),
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
      "Further attributes of this process in exported spans, as comma-separated key=value pairs."),
    Setting(
      "otlp.ratio", \.otlpRatio, .share,
      "Share of requests without a traceparent that start a new trace; others follow the caller's decision."
    ),
  ]
}
