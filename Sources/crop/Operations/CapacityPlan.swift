import LibC

/// How many replicas a load needs, and what each of them needs: arithmetic on measured costs.
///
/// Requests come independently of each other (Poisson) and spread evenly; a replica's processors serve one queue: M/M/c, with
/// Erlang's formula for who waits (Kleinrock, Queueing Systems I, section 3.5). Measured times vary less than that model's, so
/// waits are upper estimates.
struct CapacityPlan: Sendable, Equatable {
  struct Load: Sendable, Equatable {
    /// At the busiest time.
    var requestsPerSecond: Double
    /// Of one processor, for one request.
    var processorSeconds: Double
    var bodyBytes: Double
    var answerBytes: Double
    /// For a body to arrive, which it takes memory for.
    var receiveSeconds: Double
  }

  struct Replica: Sendable, Equatable {
    var processors: Int
    /// The share of its processors that may be busy at the busiest time.
    var utilization: Double
    /// Replicas beyond those that the load needs: one may be restarted or lost.
    var spares: Int
    /// Bytes resident for each byte of bodies and answers in flight.
    var memoryFactor: Double
  }

  let replicas: Int
  /// Requests a second of one replica, with all spares gone.
  let requestsPerReplica: Double
  /// Of the processors, with all spares gone and with all of them there.
  let busyUtilization: Double
  let utilization: Double
  let meanWaitSeconds: Double
  /// What one in a hundred requests waits at least.
  let longWaitSeconds: Double
  /// Requests of one replica at a time: on average, and what a hundredth of the time exceeds.
  let inFlight: Double
  let highInFlight: Int
  let bodyMemoryBytes: Double
  let memoryLimitBytes: Double
  let receivedBitsPerSecond: Double
  let sentBitsPerSecond: Double
  let processorHoursPerMillion: Double

  init(_ load: Load, _ replica: Replica) {
    let busyProcessors = load.requestsPerSecond * load.processorSeconds
    let servers = Double(replica.processors)
    let needed = max(1, Int((busyProcessors / (servers * replica.utilization)).rounded(.up)))
    replicas = needed + replica.spares
    requestsPerReplica = load.requestsPerSecond / Double(needed)
    busyUtilization = busyProcessors / (servers * Double(needed))
    utilization = busyProcessors / (servers * Double(replicas))
    let waiting = Self.waitingShare(processors: replica.processors, busy: busyUtilization * servers)
    let rate = servers * (1 - busyUtilization) / load.processorSeconds
    meanWaitSeconds = waiting / rate
    longWaitSeconds = waiting > 0.01 ? log(waiting / 0.01) / rate : 0
    inFlight = requestsPerReplica * (meanWaitSeconds + load.processorSeconds + load.receiveSeconds)
    // The normal approximation to Poisson, with at least one request for each processor.
    highInFlight = max(replica.processors + 1, Int((inFlight + 2.33 * inFlight.squareRoot()).rounded(.up)))
    bodyMemoryBytes = Double(highInFlight) * (load.bodyBytes + load.answerBytes) * replica.memoryFactor
    // What MemoryLimit leaves for clients, turned round: threads are two for each processor, and as many for large bodies.
    let threads = 4 * servers
    memoryLimitBytes = (bodyMemoryBytes + Self.ownBytes + threads * 1_048_576) * 4 / 3
    receivedBitsPerSecond = requestsPerReplica * load.bodyBytes * 8
    sentBitsPerSecond = requestsPerReplica * load.answerBytes * 8
    processorHoursPerMillion = 1e6 * load.processorSeconds / utilization / 3600
  }

  private static let ownBytes = Double(64 << 20)

  /// Erlang C: the share of requests that find all processors busy.
  ///
  /// - Parameter busy: processors that are busy on average, less than `processors`.
  /// - Complexity: linear in `processors`.
  static func waitingShare(processors: Int, busy: Double) -> Double {
    guard busy < Double(processors) else { return 1 }
    // Erlang B by its recursion, which neither overflows nor cancels.
    var blocked = 1.0
    for count in 1...processors { blocked = busy * blocked / (Double(count) + busy * blocked) }
    let share = busy / Double(processors)
    return blocked / (1 - share + share * blocked)
  }
}
