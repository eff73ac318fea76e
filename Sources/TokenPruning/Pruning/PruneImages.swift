import Localization
import PruningNumerics

/// Prunes a layout with several images as the list of those images.
///
/// Images share nothing but the budget of scope `request`; a stage's attention covers all of them.
/// - Throws: as ``prune(_:_:)``, naming the image.
func pruneImages(
  _ input: PruningInput, _ request: PruneRequest
) throws(PruningError) -> PruneResult {
  do throws(SharedPruningError) {
    return try ImagesRun.results(of: [input], [request])[0]
  } catch {
    throw error.error
  }
}

/// Several inputs, each with one image or several, on their way through the stages together.
struct ImagesRun {
  private let inputs: [PruningInput]
  private let requests: [PruneRequest]
  private var parts: [[PruningInput.ImagePart]] = []
  /// Of each image its input, and its place there.
  private var owners: [(input: Int, image: Int)] = []
  /// The images of each input.
  private var images: [Range<Int>] = []
  private let isShared: Bool
  private var traces: [PruningTrace] = []
  /// Of each image, or one for all where they share a budget.
  private var quotas: [Quotas] = []
  private var decidedBy: String?

  /// - Parameter requests: as many as inputs, alike but for their regions.
  /// - Throws: with the input that is wrong.
  static func results(
    of inputs: [PruningInput], _ requests: [PruneRequest]
  ) throws(SharedPruningError) -> [PruneResult] {
    var run = try ImagesRun(inputs, requests)
    do throws(SharedPruningError) {
      try run.prepare()
      for number in run.quotas[0].steps.indices { try run.keep(atStep: number) }
    } catch {
      throw run.located(error)
    }
    return run.results()
  }

  /// Rejects what does not depend on tensors.
  static func check(
    _ inputs: [PruningInput], _ requests: [PruneRequest]
  ) throws(SharedPruningError) {
    var run = try ImagesRun(inputs, requests)
    do throws(SharedPruningError) {
      try run.prepare()
    } catch {
      throw run.located(error)
    }
  }

  private init(_ inputs: [PruningInput], _ requests: [PruneRequest]) throws(SharedPruningError) {
    self.inputs = inputs
    self.requests = requests
    isShared = requests[0].scope == .request
    for (index, input) in inputs.enumerated() {
      try SharedPruningError.about(index) { () throws(PruningError) in try input.stepLimit.check() }
      let own = input.imageParts()
      parts.append(own)
      images.append(owners.count..<owners.count + own.count)
      owners += own.indices.map { (index, $0) }
    }
  }

  private mutating func prepare() throws(SharedPruningError) {
    let request = requests[0]
    let method = try SharedPruningError.about(nil) { () throws(PruningError) in
      try MethodRegistry.standard.method(of: request)
    }
    for (index, owner) in owners.enumerated() {
      let part = parts[owner.input][owner.image]
      let own = requests[owner.input].about(part.tokens)
      traces.append(
        try SharedPruningError.about(index) { () throws(PruningError) in
          try part.input.stepLimit.check()
          return try PruningTrace(
            part.input, own.expandingSchedule(for: part.input), method: method.remaining(in: part.input),
            scope: request.scope)
        })
    }
    guard isShared else {
      let largest = traces.flatMap(\.groups.sizes).max()
      for index in traces.indices {
        quotas.append(
          try SharedPruningError.about(index) { [traces] () throws(PruningError) in
            try traces[index].quotas(largestPeer: largest)
          })
      }
      return
    }
    quotas = [
      try SharedPruningError.about(nil) { [traces] () throws(PruningError) in
        try Quotas(request, sharedBy: traces)
      }
    ]
  }

  private mutating func keep(atStep number: Int) throws(SharedPruningError) {
    var stageInputs: [PruningInput] = []
    for input in inputs.indices { stageInputs += try self.inputs(of: input, atStep: number) }
    if isShared {
      decidedBy = try keepTogether(&traces, stageInputs, quotas[0].steps[number])
      return
    }
    for index in traces.indices {
      let step = quotas[index].steps[number]
      try SharedPruningError.about(index) { () throws(PruningError) in
        try traces[index].keep(at: step, stageInputs[index])
      }
    }
  }

  /// The images of an input as a step sees them: the attention of a stage is that of all its survivors.
  private func inputs(of input: Int, atStep number: Int) throws(SharedPruningError) -> [PruningInput] {
    guard let stage = quotas[0].steps[number].stage else { return parts[input].map(\.input) }
    let held = zip(parts[input], traces[images[input]]).flatMap { part, trace in
      trace.held.map { $0 + part.tokens.lowerBound }
    }
    let whole = try SharedPruningError.about(images[input].lowerBound) { () throws(PruningError) in
      try inputs[input].attending(by: stage, number: number, over: held)
    }
    return whole.imageParts().map(\.input)
  }

  private func results() -> [PruneResult] {
    let each = traces.enumerated().map { index, trace in
      trace.result(notes: quotas[isShared ? 0 : index].notes, decidedBy: decidedBy)
    }
    return parts.indices.map { input in
      let own = each[images[input]]
      return own.count == 1
        ? own[own.startIndex]
        : PruneResult(
          joining: Array(own), at: parts[input].map(\.tokens.lowerBound),
          layerCount: requests[input].layerCount)
    }
  }

  /// The same complaint about the input, and where that has several images about one of them.
  private func located(_ error: SharedPruningError) -> SharedPruningError {
    guard let index = error.image else { return error }
    let owner = owners[index]
    return SharedPruningError(
      image: owner.input,
      error: parts[owner.input].count > 1 ? error.error.about(image: owner.image) : error.error)
  }
}

extension PruneResult {
  /// What several images keep, as indices of all their tokens.
  ///
  /// - Precondition: one result at least, alike in their stages.
  init(joining results: [PruneResult], at starts: [Int], layerCount: Int?) {
    func joined(_ indices: (PruneResult) -> [Int]) -> [Int] {
      zip(results, starts).flatMap { result, start in indices(result).map { $0 + start } }
    }
    tokenCount = results.reduce(0) { $0 + $1.tokenCount }
    kept = joined(\.kept)
    decidedBy = Self.distinct(results.map(\.decidedBy)).joined(separator: ", ")
    let reasons = Self.distinct(results.compactMap(\.reason))
    reason = reasons.isEmpty ? nil : reasons.joined(separator: " ")
    policy = results.map(\.policy).first { $0 != .none } ?? .none
    var stages: [StageResult] = []
    var starting = starts
    for number in results[0].stages.indices {
      let within = zip(results, starting).flatMap { result, start in
        result.stages[number].keptWithinPrevious.map { $0 + start }
      }
      stages.append(
        StageResult(
          layer: results[0].stages[number].layer, kept: joined { $0.stages[number].kept },
          keptWithinPrevious: within))
      var next = 0
      starting = results.map { result in
        defer { next += result.stages[number].kept.count }
        return next
      }
    }
    self.stages = stages
    let schedule = Schedule(
      stages.map { ($0.layer, $0.kept.count) }, tokenCount: tokenCount, plain: kept.count)
    averageTokens = stages.isEmpty ? Double(kept.count) : layerCount.map(schedule.average)
    notes = joinedNotes(results.map(\.notes))
    scores = results.allSatisfy { $0.scores != nil } ? results.flatMap { $0.scores ?? [] } : nil
    explanation = PruneExplanation(joining: results.compactMap(\.explanation))
    let newlines = results.compactMap(\.keptNewlines)
    keptNewlines = newlines.isEmpty ? nil : newlines.reduce(0, +)
    var before = 0
    let slots = results.compactMap { result -> [Int]? in
      defer { before += result.previousCount ?? 0 }
      return result.keptWithinPrevious?.map { $0 + before }
    }
    previousCount = results.compactMap(\.previousCount).isEmpty ? nil : before
    keptWithinPrevious = slots.isEmpty ? nil : Array(slots.joined())
  }

  private static func distinct(_ names: [String]) -> [String] {
    names.enumerated().filter { names.firstIndex(of: $0.element) == $0.offset }.map(\.element)
  }
}

extension PruneRequest {
  /// What it asks of some of the tokens, which are an image of several.
  func about(_ tokens: Range<Int>) -> PruneRequest {
    var request = self
    request.regionTokens = regionTokens?.offsets(within: tokens)
    return request
  }
}
