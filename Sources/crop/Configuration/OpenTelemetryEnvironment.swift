import HTTP1

/// The variables by which all programs with OpenTelemetry are configured, as far as they say something of settings here
/// (opentelemetry.io, "Environment Variable Specification").
///
/// They are often set for every program of a machine or namespace. What is of no use here is therefore ignored with a warning,
/// where a wrong `CROP_*` variable keeps the server from starting.
struct OpenTelemetryEnvironment: Sendable, Equatable {
  struct Value: Sendable, Equatable {
    let variable: String
    let text: String
  }

  /// By the key of the setting.
  private(set) var values: [String: Value] = [:]
  private(set) var warnings: [String] = []

  init(_ environment: [String: String]) {
    // The specification treats an empty variable as one that is not set.
    let environment = environment.filter { $0.key.hasPrefix("OTEL_") && !$0.value.isEmpty }
    guard environment["OTEL_SDK_DISABLED"]?.lowercased() != "true" else { return }
    take("OTEL_SERVICE_NAME", as: "otlp.service-name", environment)
    take("OTEL_RESOURCE_ATTRIBUTES", as: "otlp.resource-attributes", environment)
    takeEndpoint(environment)
    takeSampler(environment)
  }

  private mutating func takeEndpoint(_ environment: [String: String]) {
    let (traces, all) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    let variable = environment[traces] == nil ? all : traces
    guard var address = environment[variable] else { return }
    if let exporters = environment["OTEL_TRACES_EXPORTER"], !exporters.split(separator: ",").contains("otlp")
    {
      return
    }
    let protocols = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]
    if let name = protocols.first(where: { environment[$0] != nil }), environment[name] == "grpc" {
      warnings.append(
        "environment \(variable) ignored: \(name) is grpc, and spans are exported over HTTP; name the collector's "
          + "HTTP address in otlp.endpoint")
      return
    }
    // The one for traces is the whole address, the other what every signal's path is appended to.
    if variable == traces {
      guard address.hasSuffix(CollectorAddress.path) else {
        warnings.append(
          "environment \(variable) ignored: '\(address)' does not end in \(CollectorAddress.path)")
        return
      }
      address.removeLast(CollectorAddress.path.count)
    }
    take(variable, as: "otlp.endpoint", [variable: address])
  }

  private mutating func takeSampler(_ environment: [String: String]) {
    let (name, argument) = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG")
    switch environment[name] {
    case "always_off", "parentbased_always_off": take(name, as: "otlp.ratio", [name: "0"])
    case "traceidratio", "parentbased_traceidratio": take(argument, as: "otlp.ratio", environment)
    case nil, "always_on", "parentbased_always_on": break
    case .some(let other):
      warnings.append("environment \(name) ignored: '\(other)' is not a sampler that this server has")
    }
  }

  private mutating func take(_ variable: String, as key: String, _ environment: [String: String]) {
    guard let text = environment[variable], let setting = Setting.all.first(where: { $0.key == key }) else {
      return
    }
    var scratch = ServerConfiguration()
    guard setting.set(text, in: &scratch) else {
      warnings.append("environment \(variable) ignored: '\(text)' is not \(setting.expected)")
      return
    }
    values[key] = Value(variable: variable, text: text)
  }
}

/// Where spans go: the address of a collector, without the path of the signal.
enum CollectorAddress {
  static let path = "/v1/traces"

  /// - Returns: nil for what is not exactly `http://host[:port][/path]`.
  static func url(_ text: String) -> EndpointURL? {
    guard text.hasPrefix("http://"), !text.contains(where: { "?#".contains($0) }) else { return nil }
    let base = text.hasSuffix("/") ? String(text.dropLast()) : text
    return EndpointURL(base + path)
  }
}

extension ValueGrammar<String?> {
  static var collector: Self {
    optional(
      "url",
      expected:
        "an address such as http://127.0.0.1:4318 (without TLS: a collector on this machine can add it)"
    ) { CollectorAddress.url($0) != nil }
  }
}

extension ValueGrammar<String> {
  /// Visible text without control characters.
  static var name: Self {
    Self(
      valueName: "name", expected: "1 to 255 characters without control characters",
      parse: { text in
        let isPlain = text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }
        return isPlain && (1...255).contains(text.utf8.count) ? text : nil
      },
      render: { $0 })
  }
}

extension ValueGrammar<Double> {
  static var share: Self {
    Self(
      valueName: "number", expected: "a number from 0 to 1",
      parse: { text in
        let isPlain = text.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || $0 == UInt8(ascii: ".") }
        return isPlain ? Double(text).flatMap { (0...1).contains($0) ? $0 : nil } : nil
      },
      render: { $0 == $0.rounded() ? String(Int($0)) : "\($0)" })
  }
}

/// One fact of the process that emits spans.
struct ResourceAttribute: Sendable, Equatable {
  let name: String
  let value: String
}

extension ValueGrammar<[ResourceAttribute]> {
  /// `key=value` pairs with commas between; in values, `%2C` stands for a comma (W3C Baggage).
  static var attributes: Self {
    Self(
      valueName: "pairs",
      expected: "pairs such as deployment.environment=staging,service.namespace=vlm, or none",
      parse: { text in
        if text == "none" { return [] }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let attributes = parts.compactMap { part -> ResourceAttribute? in
          let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
          guard pair.count == 2, let value = try? PercentEncoding.decode(trimmed(pair[1]).utf8)
          else { return nil }
          let name = trimmed(pair[0])
          let isPlain = name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
          return isPlain && !name.isEmpty ? ResourceAttribute(name: name, value: value) : nil
        }
        return attributes.count == parts.count && attributes.count <= 64 ? attributes : nil
      },
      render: { attributes in
        attributes.isEmpty
          ? "none" : attributes.map { "\($0.name)=\(percentEncoded($0.value))" }.joined(separator: ",")
      })
  }
}

private func percentEncoded(_ text: String) -> String {
  var encoded = ""
  for byte in text.utf8 {
    let isPlain = byte > 0x20 && byte < 0x7f && !",%=\"".utf8.contains(byte)
    if isPlain {
      encoded.unicodeScalars.append(Unicode.Scalar(byte))
    } else {
      let digits = String(byte, radix: 16, uppercase: true)
      encoded += "%" + (digits.count == 1 ? "0" : "") + digits
    }
  }
  return encoded
}
