/// Every endpoint of the service.
enum Endpoints {
  static func all(
    lifecycle: Lifecycle, metrics: Metrics, models: ModelStore, computeTimeout: Duration? = nil,
    statistics: InferenceStatistics = InferenceStatistics(), regions: SharedRegions = SharedRegions()
  ) -> [Endpoint] {
    let computing = Operation.allCases.map { operation($0, models, timeout: computeTimeout) }
    return computing + [compare(models, timeout: computeTimeout), plan(timeout: computeTimeout)]
      + inference(
        lifecycle: lifecycle, models: models, statistics: statistics, regions: regions,
        timeout: computeTimeout)
      + [methods, method, self.models(models), info(models, computeTimeout: computeTimeout), version]
      + [liveness]
      + ["/readyz", "/healthz", "/health", "/ping"].map { readiness(lifecycle, route: $0) }
      + [prometheus(metrics)]
      + pages
  }
}
