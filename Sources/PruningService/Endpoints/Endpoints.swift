/// Every endpoint of the service.
enum Endpoints {
  static func all(
    lifecycle: Lifecycle, metrics: Metrics, models: ModelStore, computeTimeout: Duration? = nil
  ) -> [Endpoint] {
    Operation.allCases.map { operation($0, models, timeout: computeTimeout) }
      + [plan]
      + [methods, method, self.models(models)]
      + [liveness]
      + ["/readyz", "/healthz", "/health", "/ping"].map { readiness(lifecycle, route: $0) }
      + [prometheus(metrics)]
      + [root] + contract
  }
}
