/// What requests have cost a running server so far, from its metrics in Prometheus' text format.
struct MeasuredCosts: Sendable, Equatable {
  /// Answered with what was asked for.
  let requests: Double
  let processorSeconds: Double
  let bodyBytes: Double
  let answerBytes: Double

  /// - Throws: when a sample is missing, or no operation was answered yet.
  init(_ metrics: String) throws(InputError) {
    var samples: [String: Double] = [:]
    for line in metrics.split(separator: "\n") where !line.hasPrefix("#") {
      guard let end = line.lastIndex(of: " "), let value = Double(line[line.index(after: end)...]) else {
        continue
      }
      let series = line[..<end]
      // Probes and metrics cost next to nothing: what they took is counted to the operations, which are all POST.
      let isCounted =
        !series.hasPrefix("crop_http_requests_total{")
        || (series.contains("method=\"POST\"") && series.contains("code=\"200\""))
      if isCounted { samples[String(series.prefix { $0 != "{" }), default: 0] += value }
    }
    func sample(_ name: String) throws(InputError) -> Double {
      guard let value = samples[name] else {
        throw InputError("the metrics have no \(name); are they those of a crop server?")
      }
      return value
    }
    let requests = try sample("crop_http_requests_total")
    guard requests > 0 else {
      throw InputError("the server has not completed an operation yet: nothing was measured")
    }
    self.requests = requests
    processorSeconds = try sample("process_cpu_seconds_total") / requests
    bodyBytes = try sample("crop_http_request_body_bytes_total") / requests
    answerBytes = try sample("crop_http_response_bytes_total") / requests
  }
}
