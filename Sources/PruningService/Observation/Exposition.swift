import HTTP1

/// Writes the Prometheus text format or OpenMetrics.
///
/// Names, help texts and label values are the program's own, never a client's, and hold nothing that needs an
/// escape.
struct Exposition {
  enum Kind: String {
    case counter
    case gauge
    case histogram
  }

  /// The formats differ in the names of counters' families, in exemplars and in how the text ends.
  enum Format: CaseIterable {
    /// The text exposition format, version 0.0.4.
    case prometheus
    /// OpenMetrics, version 1.0.0.
    case openMetrics

    var mediaType: String {
      switch self {
      case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
      case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
      }
    }
  }

  private let format: Format
  private var text = ""

  init(_ format: Format = .prometheus) { self.format = format }

  func finished() -> String { format == .openMetrics ? text + "# EOF\n" : text }

  mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    let suffix = "_total"
    let isShortened = format == .openMetrics && kind == .counter && name.hasSuffix(suffix)
    let family = isShortened ? String(name.dropLast(suffix.count)) : name
    text += "# HELP \(family) \(help)\n# TYPE \(family) \(kind.rawValue)\n"
  }

  mutating func sample(
    _ name: String, _ labels: [(name: String, value: String)] = [], _ value: Double,
    exemplar: Histogram.Exemplar? = nil
  ) {
    text += name
    if !labels.isEmpty {
      text += "{" + labels.map { "\($0.name)=\"\($0.value)\"" }.joined(separator: ",") + "}"
    }
    text += " \(Self.number(value))"
    if format == .openMetrics, let exemplar {
      let trace = Hexadecimal.text(exemplar.trace.high) + Hexadecimal.text(exemplar.trace.low)
      text += " # {trace_id=\"\(trace)\"} \(Self.number(exemplar.value))"
    }
    text += "\n"
  }

  mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: Double) {
    family(name, kind, help)
    sample(name, [], value)
  }

  mutating func histogram(_ name: String, _ labels: [(name: String, value: String)], _ histogram: Histogram) {
    var cumulative = 0
    for (place, count) in histogram.counts.enumerated() {
      cumulative += count
      let bound = place < Histogram.bounds.count ? "\(Histogram.bounds[place])" : "+Inf"
      sample(
        name + "_bucket", labels + [("le", bound)], Double(cumulative), exemplar: histogram.exemplars[place])
    }
    sample(name + "_sum", labels, histogram.sum)
    sample(name + "_count", labels, Double(cumulative))
  }

  private static func number(_ value: Double) -> String {
    if let whole = Int(exactly: value) { return String(whole) }
    return value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Inf" : "+Inf") : "\(value)"
  }
}

extension Exposition.Format {
  /// The format that the client likes best; of equals, and where it likes neither, the first.
  static func preferred(by head: RequestHead) -> Self {
    let offers = allCases.map { (format: $0, types: offeredTypes(of: $0)) }
    guard let best = head.bestOffer(among: offers.flatMap(\.types)) else { return .prometheus }
    return offers.first { $0.types.contains(best) }?.format ?? .prometheus
  }

  /// With and without the charset and version, since clients leave either out.
  private static func offeredTypes(of format: Self) -> [MediaType] {
    guard let whole = MediaType(format.mediaType) else { return [] }
    let version = whole.parameters.filter { $0.name == "version" }
    return [whole, MediaType(type: whole.type, subtype: whole.subtype, parameters: version)]
  }
}
