import ArgumentParser
import JSON

struct PlanCapacity: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Calculate the replicas, processors and memory that a load needs.",
    discussion: """
      The cost of a request is taken from the metrics of a server that has answered such requests, or from \
      flags, which override them. docs/capacity.md has the formulas, and the costs of several kinds of requests.

      EXAMPLES
        curl -s http://127.0.0.1:8080/metrics | crop plan-capacity --metrics - --requests-per-second 2000
        crop plan-capacity --requests-per-second 2000 --processor-milliseconds 1.5 \\
          --body-bytes 1200000 --answer-bytes 1000 --price 0.04
      """)

  @Option(help: ArgumentHelp("Requests per second at peak load.", valueName: "number"))
  var requestsPerSecond: Double

  @Option(
    help: ArgumentHelp("Metrics of a server, saved from /metrics; - reads standard input.", valueName: "path")
  )
  var metrics: String?

  @Option(help: ArgumentHelp("Milliseconds of processor time per request.", valueName: "number"))
  var processorMilliseconds: Double?

  @Option(help: ArgumentHelp("Bytes of a request's body.", valueName: "number"))
  var bodyBytes: Double?

  @Option(help: ArgumentHelp("Bytes of a response.", valueName: "number"))
  var answerBytes: Double?

  @Option(help: ArgumentHelp("Milliseconds that a body takes to arrive.", valueName: "number"))
  var receiveMilliseconds = 0.0

  @Option(help: ArgumentHelp("Processors of one replica.", valueName: "number"))
  var processors = 1

  @Option(
    help: ArgumentHelp("Share of a replica's processors that may be busy at peak load.", valueName: "share"))
  var utilization = 0.7

  @Option(help: ArgumentHelp("Replicas beyond those that the load needs.", valueName: "number"))
  var spares = 1

  @Option(help: ArgumentHelp("Resident bytes for each byte in flight.", valueName: "number"))
  var memoryFactor = 1.25

  @Option(help: ArgumentHelp("Price of one processor for an hour.", valueName: "number"))
  var price: Double?

  @Option(help: "Output format: table or json.")
  var format = OutputFormat.table

  func validate() throws {
    let positive = [
      ("--requests-per-second", requestsPerSecond), ("--processor-milliseconds", processorMilliseconds ?? 1),
      ("--memory-factor", memoryFactor),
    ]
    for (name, value) in positive where !(value > 0 && value <= 1e9) {
      throw ValidationError("\(name) must be a number above 0, and at most 1e9.")
    }
    let others = [
      ("--body-bytes", bodyBytes ?? 0), ("--answer-bytes", answerBytes ?? 0),
      ("--receive-milliseconds", receiveMilliseconds), ("--price", price ?? 0),
    ]
    for (name, value) in others where !(value >= 0 && value <= 1e12) {
      throw ValidationError("\(name) must be a number from 0 to 1e12.")
    }
    guard utilization > 0, utilization < 1 else {
      throw ValidationError("--utilization must be between 0 and 1.")
    }
    guard (1...1024).contains(processors) else {
      throw ValidationError("--processors must be from 1 to 1024.")
    }
    guard (0...10_000).contains(spares) else { throw ValidationError("--spares must be from 0 to 10000.") }
    guard metrics != nil || processorMilliseconds != nil else {
      throw ValidationError("What does a request cost? Give --metrics or --processor-milliseconds.")
    }
  }

  func run() throws {
    try Exit.badInput.unless { () throws(InputError) in
      let load = try load()
      let plan = CapacityPlan(
        load,
        CapacityPlan.Replica(
          processors: processors, utilization: utilization, spares: spares, memoryFactor: memoryFactor))
      let rows = Self.rows(plan, load, price: price)
      switch format {
      case .table:
        StandardStreams.writeOutput(
          TextTable(header: [], rows: rows.map { [$0.name, $0.text, $0.meaning] }).text)
      case .json:
        var object = JSONObject()
        for row in rows { object[row.name] = .number(row.value) }
        StandardStreams.writeOutput(prettyText(of: .object(object)))
      }
    }
  }

  private func load() throws(InputError) -> CapacityPlan.Load {
    let measured = try measuredCosts()
    return CapacityPlan.Load(
      requestsPerSecond: requestsPerSecond,
      processorSeconds: processorMilliseconds.map { $0 / 1000 } ?? measured?.processorSeconds ?? 0,
      bodyBytes: bodyBytes ?? measured?.bodyBytes ?? 0,
      answerBytes: answerBytes ?? measured?.answerBytes ?? 0,
      receiveSeconds: receiveMilliseconds / 1000)
  }

  private func measuredCosts() throws(InputError) -> MeasuredCosts? {
    guard let metrics else { return nil }
    return try MeasuredCosts(String(decoding: try readInput(metrics, upTo: 1 << 24), as: UTF8.self))
  }

  struct Row: Equatable {
    let name: String
    let value: Double
    let text: String
    let meaning: String

    init(_ name: String, _ value: Double, _ unit: String, _ meaning: String) {
      self.name = name
      self.value = value
      text = Self.text(value) + (unit.isEmpty ? "" : " " + unit)
      self.meaning = meaning
    }

    /// Three digits that count, and no exponent.
    private static func text(_ value: Double) -> String {
      guard value != 0, value < 1e15 else { return value == 0 ? "0" : "\(value)" }
      var scale = 1.0
      var digits = 0
      while value * scale < 100, digits < 6 {
        scale *= 10
        digits += 1
      }
      let rounded = (value * scale).rounded() / scale
      return digits == 0 || rounded == rounded.rounded() ? "\(Int(rounded.rounded()))" : "\(rounded)"
    }
  }

  static func rows(_ plan: CapacityPlan, _ load: CapacityPlan.Load, price: Double?) -> [Row] {
    let mebibyte = 1_048_576.0
    var rows = [
      Row("replicas", Double(plan.replicas), "", "to run at the busiest time"),
      Row("requests_per_replica", plan.requestsPerReplica, "/s", "with all spares gone"),
      Row("processor_milliseconds", load.processorSeconds * 1000, "ms", "of one processor for a request"),
      Row("busy_utilization", plan.busyUtilization, "", "share of the processors, with all spares gone"),
      Row(
        "utilization", plan.utilization, "",
        "with all replicas there; the autoscaler's target is to lie above it"),
      Row(
        "mean_wait_milliseconds", plan.meanWaitSeconds * 1000, "ms", "for a processor, with all spares gone"),
      Row(
        "long_wait_milliseconds", plan.longWaitSeconds * 1000, "ms", "exceeded by one request in a hundred"),
      Row("in_flight", plan.inFlight, "", "requests of a replica at a time, on average"),
      Row(
        "high_in_flight", Double(plan.highInFlight), "",
        "exceeded for a hundredth of the time; max-in-flight is to lie above it"),
      Row("memory_limit_mebibytes", plan.memoryLimitBytes / mebibyte, "MiB", "of a replica's container"),
      Row("received_megabits_per_second", plan.receivedBitsPerSecond / 1e6, "Mbit/s", "by a replica"),
      Row("sent_megabits_per_second", plan.sentBitsPerSecond / 1e6, "Mbit/s", "by a replica"),
      Row(
        "processor_hours_per_million", plan.processorHoursPerMillion, "h",
        "of processors for a million requests at this load"),
    ]
    if let price {
      rows.append(
        Row(
          "price_per_million", plan.processorHoursPerMillion * price, "",
          "for a million requests at this load"))
    }
    return rows
  }
}
