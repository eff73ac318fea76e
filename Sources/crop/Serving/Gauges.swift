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
    gauge("crop_connections", capacity.connectionCount, "Open client connections.")
    gauge(
      "crop_connections_limit", maximum,
      "Limit of open connections; beyond it requests get 503, except probes.")
    counter(
      "crop_connections_accepted_total", Double(capacity.acceptedCount),
      "Connections accepted since the start.")
    counter(
      "crop_accept_pauses_total", Double(capacity.acceptPauseCount),
      "How often accepting paused for lack of descriptors or of room for a connection.")
  }

  private func addRequests(_ server: Server, _ configuration: TransportConfiguration) {
    let capacity = server.capacity
    let pool = server.pool
    gauge(
      "crop_requests_in_flight", capacity.inFlightCount,
      "Requests queued for or running on compute threads.")
    gauge(
      "crop_shared_memory_descriptors", server.heldDescriptorCount,
      "File descriptors of clients whose memory is not read yet.")
    gauge(
      "crop_requests_in_flight_limit", configuration.maximumInFlight,
      "Limit of requests in flight; beyond it requests get 429.")
    gauge("crop_requests_queued", server.queuedCount, "Requests waiting for a compute thread.")
    gauge("crop_compute_threads", configuration.computeThreads, "Threads that compute responses.")
    gauge(
      "crop_request_body_bytes_in_flight", capacity.inFlightBodyBytes,
      "Bytes held for request bodies and unsent responses.")
    gauge(
      "crop_request_body_bytes_in_flight_limit", configuration.maximumInFlightBytes,
      "Limit of bytes held for clients; beyond it requests get 503.")
    gauge(
      "crop_memory_bytes", capacity.heldBytes,
      "Bytes held for clients: bodies, working memory, responses and buffers of connections.")
    gauge(
      "crop_work_bytes_in_flight", capacity.inFlightWorkBytes, "Of these, working memory of computations.")
    gauge(
      "crop_connection_buffer_bytes", capacity.heldConnectionBytes,
      "Of these, incomplete heads, unread responses and TLS sessions.")
    counter(
      "crop_work_bytes_total", Double(capacity.requestedWorkBytes),
      "Bytes of working memory that requests needed.")
    gauge("crop_buffer_pool_bytes", pool.heldBytes, "Bytes of body buffers kept for reuse.")
  }

  private func addProcess() {
    let start = Double(Timestamp.nanosecondsSince1970) * 1e-9
    add(
      Gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.") { start })
    gauge("process_resident_memory_bytes", ProcessMemory.residentBytes, "Resident memory size in bytes.")
    gauge("process_open_fds", Process.openDescriptorCount, "Number of open file descriptors.")
    gauge("process_max_fds", Process.descriptorLimit, "Maximum number of open file descriptors.")
    counter(
      "process_cpu_seconds_total", Process.cpuSeconds, "Total user and system CPU time spent in seconds.")
  }

  /// - Parameter read: evaluated whenever metrics are asked for.
  func gauge(_ name: String, _ read: @autoclosure @escaping @Sendable () -> Int, _ help: String) {
    add(Gauge(name, help) { Double(read()) })
  }

  func counter(_ name: String, _ read: @autoclosure @escaping @Sendable () -> Double, _ help: String) {
    add(Gauge(name, help, isCounter: true, read: read))
  }
}
