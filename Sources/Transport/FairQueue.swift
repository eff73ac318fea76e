/// Requests that wait for a compute thread, in turns of one per client.
///
/// A client is an address: many connections from one give it no more turns. Those whose clients have finished
/// sending, and so may be gone, wait behind all others.
struct FairQueue {
  typealias Job = ComputePool.Job

  /// What one client has waiting, first come first served.
  private struct Line {
    let client: UInt64
    var jobs: [Job] = []
    var first = 0

    var count: Int { jobs.count - first }

    mutating func popFirst() -> Job? {
      guard first < jobs.count else { return nil }
      let job = jobs[first]
      first += 1
      // Compacted now and then: removing the first of many is linear.
      if first == jobs.count || first >= 1024 {
        jobs.removeFirst(first)
        first = 0
      }
      return job
    }
  }

  private var lines: [Line] = []
  /// Whose turn it is.
  private var turn = 0
  private var ended = Line(client: 0)
  private(set) var count = 0

  /// Emptied lines that are kept: clients come back, and their lines' memory with them.
  private static let spareLines = 16

  mutating func append(_ job: Job) {
    count += 1
    guard !job.hasClientEnded else { return ended.jobs.append(job) }
    if let index = lines.firstIndex(where: { $0.client == job.client }) {
      lines[index].jobs.append(job)
    } else {
      lines.append(Line(client: job.client, jobs: [job]))
    }
  }

  /// The job whose turn it is.
  mutating func popFirst() -> Job? {
    guard count > 0 else { return nil }
    if lines.count > Self.spareLines { lines.removeAll { $0.count == 0 } }
    var emptyTurns = 0
    while emptyTurns < lines.count {
      if turn >= lines.count { turn = 0 }
      guard let job = lines[turn].popFirst() else {
        turn += 1
        emptyTurns += 1
        continue
      }
      guard !job.hasClientEnded else {
        ended.jobs.append(job)
        continue
      }
      turn += 1
      count -= 1
      return job
    }
    guard let job = ended.popFirst() else { return nil }
    count -= 1
    return job
  }

  /// Takes out a job that makes room for one of `client`: one whose client has finished sending, else the latest of
  /// the client that has the most waiting, if those are more than `client` would then have.
  ///
  /// - Complexity: O(n).
  mutating func popDisplaced(by client: UInt64) -> Job? {
    collectEnded()
    if let job = ended.popFirst() {
      count -= 1
      return job
    }
    let own = lines.first { $0.client == client }?.count ?? 0
    guard let greediest = lines.indices.max(by: { lines[$0].count < lines[$1].count }),
      lines[greediest].count > own + 1
    else { return nil }
    count -= 1
    return lines[greediest].jobs.removeLast()
  }

  private mutating func collectEnded() {
    for index in lines.indices where lines[index].count > 0 {
      let waiting = lines[index].jobs[lines[index].first...]
      guard waiting.contains(where: \.hasClientEnded) else { continue }
      ended.jobs += waiting.filter(\.hasClientEnded)
      lines[index].jobs = waiting.filter { !$0.hasClientEnded }
      lines[index].first = 0
    }
  }
}
