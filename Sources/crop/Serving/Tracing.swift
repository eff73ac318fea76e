import Logging
import PruningService

extension ServerConfiguration {
  func spanExporter(_ logger: Logger) -> SpanExporter? {
    otlpEndpoint.flatMap(CollectorAddress.url).map { SpanExporter($0, logger: logger) }
  }

  var tracing: Tracer.Configuration {
    var attributes = otlpResourceAttributes.filter { $0.name != "service.version" }
    // The name that was set is the name; the default gives way to the attribute.
    if otlpServiceName != Self.defaultServiceName
      || !attributes.contains(where: { $0.name == "service.name" })
    {
      attributes.removeAll { $0.name == "service.name" }
      attributes.insert(ResourceAttribute(name: "service.name", value: otlpServiceName), at: 0)
    }
    attributes.append(ResourceAttribute(name: "service.version", value: Version.current))
    return Tracer.Configuration(resource: attributes.map { ($0.name, $0.value) }, ratio: otlpRatio)
  }
}

extension Metrics {
  func add(countersOf tracer: Tracer) {
    counter("crop_spans_exported_total", Double(tracer.exportedCount), "Spans accepted by the collector.")
    counter(
      "crop_spans_dropped_total", Double(tracer.droppedCount),
      "Spans dropped because too many were pending or no collector accepted them.")
  }
}
