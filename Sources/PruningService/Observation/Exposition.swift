/// Writes the Prometheus text format.
///
/// Names, help texts and label values are the program's own, never a client's, and hold nothing that needs an
/// escape.
struct Exposition {
  enum Kind: String {
    case counter
    case gauge
    case histogram
  }

  private(set) var text = ""

  mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
  }

  mutating func sample(_ name: String, _ labels: [(name: String, value: String)] = [], _ value: Double) {
    text += name
    if !labels.isEmpty {
      text += "{" + labels.map { "\($0.name)=\"\($0.value)\"" }.joined(separator: ",") + "}"
    }
    text += " \(Self.number(value))\n"
  }

  mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: Double) {
    family(name, kind, help)
    sample(name, [], value)
  }

  mutating func histogram(_ name: String, _ labels: [(name: String, value: String)], _ histogram: Histogram) {
    var cumulative = 0
    for (bound, count) in zip(Histogram.bounds, histogram.counts) {
      cumulative += count
      sample(name + "_bucket", labels + [("le", "\(bound)")], Double(cumulative))
    }
    cumulative += histogram.counts[Histogram.bounds.count]
    sample(name + "_bucket", labels + [("le", "+Inf")], Double(cumulative))
    sample(name + "_sum", labels, histogram.sum)
    sample(name + "_count", labels, Double(cumulative))
  }

  private static func number(_ value: Double) -> String {
    if let whole = Int(exactly: value) { return String(whole) }
    return value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Inf" : "+Inf") : "\(value)"
  }
}
