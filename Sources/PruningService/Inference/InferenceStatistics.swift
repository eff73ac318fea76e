import JSON
import Locking

/// What inference requests took, as the statistics extension of the Open Inference Protocol tells it (Triton,
/// docs/protocol/extension_statistics.md). Requests to `/prune` and its like are counted by ``Metrics`` alone.
final class InferenceStatistics: Sendable {
  /// How often something was done, and how long it took in all.
  struct Total: Sendable {
    private(set) var count = 0
    private(set) var nanoseconds = 0

    mutating func add(_ duration: Duration) {
      count += 1
      nanoseconds &+= Int(clamping: duration.wholeNanoseconds)
    }

    var json: JSONValue { ["count": .integer(count), "ns": .integer(nanoseconds)] }
  }

  private struct Counts: Sendable {
    var lastInference = 0
    var inferenceCount = 0
    var success = Total()
    var failure = Total()
    var decode = Total()
    var compute = Total()
    var encode = Total()
    /// Executions by the number of images.
    var batches: [Int: (compute: Total, decode: Total, encode: Total)] = [:]
  }

  private let counts: Locked<[Counts]>
  private let epochMilliseconds: @Sendable () -> Int

  /// Of further sizes, nothing is told by size.
  private static let maximumBatchSizes = 64

  /// - Parameter epochMilliseconds: the time of day, since 1970.
  init(epochMilliseconds: @escaping @Sendable () -> Int = { 0 }) {
    counts = Locked(Array(repeating: Counts(), count: InferenceModel.all.count))
    self.epochMilliseconds = epochMilliseconds
  }

  /// - Parameter images: of an answered request; nil for one that failed.
  func record(_ model: InferenceModel, images: Int?, _ timing: ServerTiming, total: Duration) {
    guard let index = InferenceModel.all.firstIndex(where: { $0.name == model.name }) else { return }
    let now = epochMilliseconds()
    func phase(_ name: StaticString) -> Duration { timing.duration(of: name) }
    counts.withLock { counts in
      guard let images else { return counts[index].failure.add(total) }
      counts[index].lastInference = now
      counts[index].inferenceCount &+= images
      counts[index].success.add(total)
      counts[index].decode.add(phase("decode"))
      counts[index].compute.add(phase("compute"))
      counts[index].encode.add(phase("encode"))
      let isKnown = counts[index].batches[images] != nil
      guard isKnown || counts[index].batches.count < Self.maximumBatchSizes else { return }
      counts[index].batches[images, default: (Total(), Total(), Total())].compute.add(phase("compute"))
      counts[index].batches[images]?.decode.add(phase("decode"))
      counts[index].batches[images]?.encode.add(phase("encode"))
    }
  }

  /// The statistics of the given models.
  func json(of models: [InferenceModel]) -> JSONValue {
    let all = counts.withLock { $0 }
    let entries = zip(InferenceModel.all, all).filter { entry in models.contains { $0.name == entry.0.name } }
    return ["model_stats": .array(entries.map { Self.json($0, $1) })]
  }

  private static func json(_ model: InferenceModel, _ counts: Counts) -> JSONValue {
    // There is one queue for all work; how long a request stood in it is not told apart.
    let none = Total().json
    let batches = counts.batches.sorted { $0.key < $1.key }.map { size, totals -> JSONValue in
      [
        "batch_size": .integer(size), "compute_input": totals.decode.json,
        "compute_infer": totals.compute.json, "compute_output": totals.encode.json,
      ]
    }
    return [
      "name": .string(model.name), "version": .string(InferenceModel.version),
      "last_inference": .integer(counts.lastInference), "inference_count": .integer(counts.inferenceCount),
      "execution_count": .integer(counts.success.count),
      "inference_stats": [
        "success": counts.success.json, "fail": counts.failure.json, "queue": none,
        "compute_input": counts.decode.json, "compute_infer": counts.compute.json,
        "compute_output": counts.encode.json, "cache_hit": none, "cache_miss": none,
      ],
      "batch_stats": .array(batches),
    ]
  }
}
