import PruningService
import Transport

/// What is read from the transport and the system when `/metrics` is asked for.
///
/// Each limit stands beside what it limits, so that an alert can compare them without knowing the configuration.
extension Metrics {
  func add(gaugesOf server: Server, _ configuration: TransportConfiguration) {
    addConnections(server.capacity, maximum: configuration.maximumConnections)
    addRequests(server, configuration)
    addProcess()
  }

  private func addConnections(_ capacity: Capacity, maximum: Int) {
    gauge("crop_connections", "Open client connections.") { capacity.connectionCount }
    gauge("crop_connections_limit", "Limit of open connections; beyond it requests get 503, except probes.") {
      maximum
    }
    counter("crop_connections_accepted_total", "Connections accepted since the start.") {
      Double(capacity.acceptedCount)
    }
    counter(
      "crop_accept_pauses_total",
      "How often accepting paused for lack of descriptors or of room for a connection."
    ) {
      Double(capacity.acceptPauseCount)
    }
  }

  private func addRequests(_ server: Server, _ configuration: TransportConfiguration) {
    let capacity = server.capacity
    let pool = server.pool
    gauge(
      "crop_requests_in_flight",
      "Requests queued for or running on compute threads."
    ) {
      capacity.inFlightCount
    }
    gauge("crop_shared_memory_descriptors", "File descriptors of clients whose memory is not read yet.") {
      server.heldDescriptorCount
    }
    gauge("crop_requests_in_flight_limit", "Limit of requests in flight; beyond it requests get 429.") {
      configuration.maximumInFlight
    }
    gauge("crop_requests_queued", "Requests waiting for a compute thread.") { server.queuedCount }
    gauge("crop_compute_threads", "Threads that compute responses.") { configuration.computeThreads }
    gauge("crop_request_body_bytes_in_flight", "Bytes held for request bodies and unsent responses.") {
      capacity.inFlightBodyBytes
    }
    gauge(
      "crop_request_body_bytes_in_flight_limit",
      "Limit of bytes held for clients; beyond it requests get 503."
    ) {
      configuration.maximumInFlightBytes
    }
    gauge(
      "crop_memory_bytes",
      "Bytes held for clients: bodies, working memory, responses and buffers of connections."
    ) {
      capacity.heldBytes
    }
    gauge("crop_work_bytes_in_flight", "Of these, working memory of computations.") {
      capacity.inFlightWorkBytes
    }
    gauge(
      "crop_connection_buffer_bytes", "Of these, incomplete heads, unread responses and TLS sessions."
    ) {
      capacity.heldConnectionBytes
    }
    counter("crop_work_bytes_total", "Bytes of working memory that requests needed.") {
      Double(capacity.requestedWorkBytes)
    }
    gauge("crop_buffer_pool_bytes", "Bytes of body buffers kept for reuse.") { pool.heldBytes }
  }

  private func addProcess() {
    let start = Double(Timestamp.nanosecondsSince1970) * 1e-9
    add(
      Gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.") { start })
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.") { ProcessMemory.residentBytes }
    gauge("process_open_fds", "Number of open file descriptors.") { Process.openDescriptorCount }
    gauge("process_max_fds", "Maximum number of open file descriptors.") { Process.descriptorLimit }
    counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.") {
      Process.cpuSeconds
    }
  }

  func gauge(_ name: String, _ help: String, _ read: @escaping @Sendable () -> Int) {
    add(Gauge(name, help) { Double(read()) })
  }

  func counter(_ name: String, _ help: String, _ read: @escaping @Sendable () -> Double) {
    add(Gauge(name, help, isCounter: true, read: read))
  }
}
