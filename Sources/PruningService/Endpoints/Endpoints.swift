/// Every endpoint of the service.
enum Endpoints {
  static func all(lifecycle: Lifecycle, metrics: Metrics) -> [Endpoint] {
    Operation.allCases.map(operation)
      + [plan]
      + [methods, method]
      + [liveness]
      + ["/readyz", "/healthz", "/health", "/ping"].map { readiness(lifecycle, route: $0) }
      + [prometheus(metrics)]
      + contract
  }
}
