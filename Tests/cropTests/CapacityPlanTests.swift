import Testing

@testable import crop

@Suite("How many replicas a load needs")
struct CapacityPlanTests {
  private let load = CapacityPlan.Load(
    requestsPerSecond: 1000, processorSeconds: 0.002, bodyBytes: 1e6, answerBytes: 1000, receiveSeconds: 0.01)
  private let replica = CapacityPlan.Replica(processors: 1, utilization: 0.5, spares: 1, memoryFactor: 1.25)

  @Test("two busy processors at half of their time are four replicas, and one to spare")
  func replicas() {
    let plan = CapacityPlan(load, replica)
    #expect(plan.replicas == 5)
    #expect(plan.requestsPerReplica == 250)
    #expect(plan.busyUtilization == 0.5)
    #expect(plan.utilization == 0.4)
    #expect(plan.processorHoursPerMillion == 1e6 * 0.002 / 0.4 / 3600)
    #expect(plan.receivedBitsPerSecond == 2e9)
  }

  @Test(
    "one processor is the queue M/M/1: who waits is the utilization, the mean wait u / (1 - u) times the time"
  )
  func oneProcessor() {
    let plan = CapacityPlan(load, replica)
    #expect(abs(plan.meanWaitSeconds - 0.002) < 1e-12)
    #expect(abs(plan.inFlight - 250 * 0.014) < 1e-9)
    #expect(plan.highInFlight == 8)
  }

  @Test(
    "Erlang's formula gives the shares of its tables",
    arguments: [
      (1, 0.3, 0.3), (2, 1.0, 1.0 / 3), (3, 2.0, 4.0 / 9), (10, 8.0, 0.40918), (4, 4.0, 1.0), (1, 2.0, 1.0),
    ])
  func erlang(processors: Int, busy: Double, share: Double) {
    #expect(abs(CapacityPlan.waitingShare(processors: processors, busy: busy) - share) < 1e-5)
  }

  @Test("more load, more time or less utilization never needs fewer replicas")
  func monotonous() {
    var last = 0
    for requests in stride(from: 1.0, to: 5000, by: 97) {
      var load = load
      load.requestsPerSecond = requests
      let plan = CapacityPlan(load, replica)
      #expect(plan.replicas >= last && plan.busyUtilization <= 0.5)
      last = plan.replicas
    }
  }

  @Test("costs are those of answered operations, and all of the process's time is theirs")
  func measured() throws {
    let costs = try MeasuredCosts(
      """
      # HELP crop_http_requests_total Responses.
      crop_http_requests_total{route="/prune",method="POST",code="200"} 300
      crop_http_requests_total{route="/compress",method="POST",code="200"} 100
      crop_http_requests_total{route="/prune",method="POST",code="422"} 7
      crop_http_requests_total{route="/livez",method="GET",code="200"} 9000
      crop_http_request_body_bytes_total 4000000
      crop_http_response_bytes_total 800000
      process_cpu_seconds_total 2
      """)
    #expect(costs.requests == 400)
    #expect(costs.processorSeconds == 0.005)
    #expect(costs.bodyBytes == 10_000)
    #expect(costs.answerBytes == 2000)
  }

  @Test(
    "metrics of another program, and of a server that answered nothing, are refused",
    arguments: [
      "", "up 1", "crop_http_requests_total{method=\"GET\",code=\"200\"} 4",
      "crop_http_requests_total{method=\"POST\",code=\"200\"} 4\nprocess_cpu_seconds_total 1",
    ])
  func noCosts(text: String) { #expect(throws: InputError.self) { try MeasuredCosts(text) } }
}
