import JSON
import LearnedNetworks
import Locking
import PruningNumerics
import TensorFormats
import Tensors
import TokenPruning

/// What an operation does with one image, prepared: it holds for all images with the same parameters whose tensors differ
/// in their elements alone.
protocol PreparedTask: Sendable {
  /// Memory that the answer about the image takes at most.
  var answerBytes: Int { get }
  var cost: ComputeCost { get }
  /// Whether the answer depends on the elements of tensors, and not on their shapes alone.
  var readsElements: Bool { get }
  /// The learned networks that are asked, one after the other.
  var modelUses: [ModelUse] { get }
  /// How many numbers the answer lists beside those of its tokens: of the whole prompt, of regions, of maps.
  var otherNumbers: Int { get }

  /// - Parameters:
  ///   - input: of the same shapes and layout as the one this was prepared for.
  ///   - models: those that are loaded now.
  ///   - shared: what the answer says of all images.
  func run(
    on input: PruningInput, _ models: ModelSet, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample
}

extension PreparedTask {
  var readsElements: Bool { true }
  var modelUses: [ModelUse] { [] }
  var otherNumbers: Int { 0 }
}

/// An operation on the tensors of one request of which everything is decided that does not depend on their elements, as a
/// database prepares a statement: parameters are read and validated, images are told apart, layouts, regions, methods and
/// budgets are resolved.
final class PreparedOperation: Sendable {
  /// Held by reference, since each run asks for it.
  final class Image: Sendable {
    let request: ImageRequest
    let task: any PreparedTask

    init(request: ImageRequest, task: any PreparedTask) {
      self.request = request
      self.task = task
    }
  }

  let operation: Operation
  private let images: [Image]
  private let isBatched: Bool
  /// Whether the images share one budget.
  private let isTogether: Bool
  private let parameters: ImageParameters
  private let reading: PreparedMembers
  private let answerBytes: Int
  /// How the images' tensors lie in those of a request; nil where that depends on the elements of this one.
  let plan: TensorPlan?
  /// This request's, where there is no plan.
  private let ownSamples: [[String: Tensor]]
  let cost: ComputeCost
  private let memory: MemoryNeed
  /// Of each image that asks any.
  private let modelUses: [[ModelUse]]
  /// Whether one answer to all requests is kept: elements play no part, and it is short.
  private let keepsAnswer: Bool
  private let answer = Locked<Answer?>(nil)

  /// What an answer takes at most that is kept and written on an event loop: some 5,000 numbers.
  private static let longestKeptAnswer = 512 << 10
  /// Batches of fewer numbers take less time than waking another thread is worth.
  private static let leastShared = 1 << 18

  /// - Parameters:
  ///   - context: its limit is asked between images; nothing of it is kept.
  ///   - reservation: asked for the memory that preparing and running take, before anything is prepared.
  ///   - maximumTokens: of all images.
  ///   - maximumForms: how many images may differ from the one before in more than what they show.
  /// - Returns: nil where there is more of either.
  /// - Throws: at the first member or tensor that is wrong; whatever can be told without computing is told here.
  /// - Complexity: O(tokens), and O(elements) where these have to be brought in another order.
  init?(
    _ operation: Operation, _ document: TensorDocument, _ context: RunContext,
    _ reservation: Reservation, maximumTokens: Int = .max, maximumForms: Int = .max
  ) throws(Problem) {
    try OperationParameters.refuseUnknown(document, for: operation)
    let given = document.parameters.withoutNulls
    let resolved = try SixteenBits.resolved(document.tensors, given)
    let axes = try DeclaredAxes(given, tensors: resolved)
    let batch = try Batch(
      try axes.applied(to: resolved, context.stepLimit), axes: axes,
      isDeclaredBatched: try OperationParameters.batched(given), context.stepLimit)
    self.operation = operation
    isBatched = batch.isBatched
    let isTogether = operation == .prune && batch.isBatched && given["budget_scope"] == "request"
    self.isTogether = isTogether
    var memory = MemoryNeed(operation, document, batch, isTogether: isTogether)
    try reservation.hold(memory)
    let count = batch.isBatched ? batch.samples.count : nil
    parameters = try PruningError.asProblem(try ImageParameters(given, batchCount: count))
    let found = try Self.images(
      operation, batch, parameters, isTogether, context, reservation, &memory, maximumTokens, maximumForms)
    guard let found else { return nil }
    images = found
    answerBytes = images.reduce(0) { $0 &+ $1.task.answerBytes }
    memory.addListed(images.reduce(0) { $0 &+ $1.task.otherNumbers })
    self.memory = memory
    do throws(PruningError) {
      try StepLimit(.max).reserveAnswer(bytes: answerBytes)
      if isTogether { try Self.validateTogether(images, parameters, context) }
    } catch {
      throw Problem(error)
    }
    modelUses = images.map(\.task.modelUses).filter { !$0.isEmpty }
    cost = images.dropFirst().reduce(images[0].task.cost) { $0 + $1.task.cost }
    keepsAnswer =
      !isTogether && memory.answers <= Self.longestKeptAnswer && !images.contains { $0.task.readsElements }
    reading = PreparedMembers(
      Interpretation(
        batch.samples, tokenCounts: images.map(\.request.tokenCount),
        inferred: images.map(\.request.inferredLayout), given
      ).members)
    let isFixed =
      !SixteenBits.dependsOnElements(document.tensors, given)
      && !document.tensors.entries.keys.contains(where: ImageRequest.consumedTensors.contains)
    plan = isFixed ? TensorPlan(batch.samples, of: TensorForms.bytes(of: document.tensors)) : nil
    ownSamples = plan == nil ? batch.samples : []
  }

  private static func images(
    _ operation: Operation, _ batch: Batch, _ parameters: ImageParameters, _ isTogether: Bool,
    _ context: RunContext, _ reservation: Reservation, _ memory: inout MemoryNeed, _ maximumTokens: Int,
    _ maximumForms: Int
  ) throws(Problem) -> [Image]? {
    var requests: [ImageRequest] = []
    var (tokens, forms) = (0, 0)
    requests.reserveCapacity(batch.samples.count)
    /// Whether an image is like the one before in all but what it shows, as most of a batch are.
    func isAlike(_ index: Int) -> Bool {
      index > 0 && parameters.areShared && alike(batch.samples[index], batch.samples[index - 1])
    }
    func about<T>(_ index: Int, _ body: () throws(PruningError) -> T) throws(Problem) -> T {
      do throws(PruningError) {
        try context.stepLimit.check()
        return try body()
      } catch {
        throw Problem(batch.isBatched ? parameters.error(error, inImage: index) : error)
      }
    }
    for (index, sample) in batch.samples.enumerated() {
      if !isAlike(index) { forms += 1 }
      guard forms <= maximumForms else { return nil }
      let request = try about(index) { () throws(PruningError) in
        isAlike(index)
          ? requests[index - 1]
          : try ImageRequest(
            tensors: sample, parameters: parameters[index], region: parameters.region(index),
            batchCount: batch.isBatched ? batch.samples.count : nil)
      }
      requests.append(request)
      tokens += request.tokenCount
      guard tokens <= maximumTokens else { return nil }
      memory.addPrepared(request.layout, tokenCount: request.tokenCount, isAlike: isAlike(index))
      try reservation.hold(memory)
    }
    let largest = batch.isBatched ? requests.map(\.largestBudget).max() : nil
    var images: [Image] = []
    images.reserveCapacity(requests.count)
    for (index, sample) in batch.samples.enumerated() {
      if isAlike(index) {
        images.append(images[index - 1])
        continue
      }
      var request = requests[index]
      request.largestPeer = largest
      let input = request.input(without(ImageRequest.consumedTensors, sample), context)
      images.append(
        try about(index) { [request] () throws(PruningError) in
          Image(
            request: request, task: try operation.task(request, input, context.models, isTogether: isTogether)
          )
        })
    }
    return images
  }

  private static func validateTogether(
    _ images: [Image], _ parameters: ImageParameters, _ context: RunContext
  ) throws(PruningError) {
    do throws(SharedPruningError) {
      try PruneTask.validateTogether(
        images.compactMap { $0.task as? PruneTask }, images.map { $0.request.input([:], context) })
    } catch {
      throw error.image.map { parameters.error(error.error, inImage: $0) } ?? error.error
    }
  }

  private static func alike(_ a: [String: Tensor], _ b: [String: Tensor]) -> Bool {
    a.count == b.count
      && a.allSatisfy { name, tensor in
        guard let other = b[name], !ImageRequest.consumedTensors.contains(name) else { return false }
        return tensor.elementType == other.elementType && tensor.shape == other.shape
      }
  }

  private static func without(_ names: Set<String>, _ tensors: [String: Tensor]) -> [String: Tensor] {
    tensors.keys.contains(where: names.contains) ? tensors.filter { !names.contains($0.key) } : tensors
  }

  /// The most memory that a run takes beside the body.
  ///
  /// - Parameters:
  ///   - decodedBytes: the most that decoding the body took.
  ///   - threads: how many images of a batch may be computed at the same time.
  ///   - models: those that the run is given, which may be others than this was prepared with.
  func memoryBytes(decodedBytes: Int, threads: Int, models: @autoclosure () -> ModelSet) -> Int {
    let bytes = memory.total(decodedBytes: decodedBytes, threads: threads)
    guard !modelUses.isEmpty else { return bytes }
    let models = models()
    let needs = modelUses.map { uses in uses.reduce(0) { max($0, $1.bytes(models)) } }
    return needs.sorted(by: >).prefix(max(threads, 1)).reduce(bytes, &+)
  }

  /// What it holds before it runs.
  var preparedBytes: Int { memory.prepared }

  /// What it holds between requests: also each image, as one of its own or like the one before, and the answer.
  var keptBytes: Int {
    let forms = images.indices.count { $0 == 0 || images[$0] !== images[$0 - 1] }
    return memory.prepared &+ forms &* Self.bytesPerForm &+ images.count &* Self.bytesPerImage
      &+ (keepsAnswer ? memory.answers : 0)
  }

  private static let bytesPerForm = 4 << 10
  private static let bytesPerImage = 512

  // MARK: Running

  /// The answer where it is known whatever the tensors hold, and short.
  var knownAnswer: Answer? { keepsAnswer ? answer.withLock { $0 } : nil }

  /// - Parameter sources: the bytes of the request's tensors, in the order of ``TensorForms/bytes(of:)``; they differ from
  ///   those this was prepared for in the elements alone.
  func run(_ sources: [ArraySlice<UInt8>], _ context: RunContext) throws(Problem) -> Answer {
    let tensors =
      plan.map { $0.samples(of: sources) }
      ?? ownSamples.map { Self.without(ImageRequest.consumedTensors, $0) }
    var shared = JSONObject()
    let samples: [Answer.Sample]
    do throws(PruningError) {
      try context.stepLimit.reserveAnswer(bytes: answerBytes)
      samples =
        isTogether
        ? try runTogether(tensors, context, shared: &shared) : try runEach(tensors, context, shared: &shared)
    } catch {
      throw Problem(error)
    }
    if isBatched { shared["batched"] = true }
    let answer = Answer(samples: samples, isBatched: isBatched, shared: shared, reading: reading)
    if keepsAnswer { self.answer.withLock { $0 = answer } }
    return answer
  }

  private func runTogether(
    _ tensors: [[String: Tensor]], _ context: RunContext, shared: inout JSONObject
  ) throws(PruningError) -> [Answer.Sample] {
    let inputs = images.indices.map { images[$0].request.input(tensors[$0], context) }
    do throws(SharedPruningError) {
      return try PruneTask.runTogether(
        images.compactMap { $0.task as? PruneTask }, inputs, context.models, shared: &shared)
    } catch {
      throw error.image.map { parameters.error(error.error, inImage: $0) } ?? error.error
    }
  }

  /// One per image.
  ///
  /// - Throws: what is wrong with the first image that is wrong by itself; which image met the limit of all depends on who
  ///   computes which.
  private func runEach(
    _ tensors: [[String: Tensor]], _ context: RunContext, shared: inout JSONObject
  ) throws(PruningError) -> [Answer.Sample] {
    var samples: [Answer.Sample] = []
    samples.reserveCapacity(images.count)
    guard images.count > 1, Self.numberCount(tensors) >= Self.leastShared else {
      for index in images.indices {
        samples.append(try sample(index, tensors[index], context, shared: &shared))
      }
      return samples
    }
    let outcomes = context.sharing.map(images.count) {
      [self] index -> Result<(Answer.Sample, JSONObject), PruningError> in
      var shared = JSONObject()
      do throws(PruningError) {
        let sample = try sample(index, tensors[index], context, shared: &shared)
        return .success((sample, shared))
      } catch {
        return .failure(error)
      }
    }
    let errors = outcomes.compactMap { if case .failure(let error) = $0 { error } else { nil } }
    if let error = errors.first(where: { $0.kind == .invalidInput || $0.kind == .unknownMethod })
      ?? errors.first
    {
      throw error
    }
    for case .success(let (sample, members)) in outcomes {
      samples.append(sample)
      shared.append(members)
    }
    return samples
  }

  private static func numberCount(_ tensors: [[String: Tensor]]) -> Int {
    tensors.reduce(0) { $0 + $1.values.reduce(0) { $0 + $1.elementCount } }
  }

  private func sample(
    _ index: Int, _ tensors: [String: Tensor], _ context: RunContext, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample {
    do throws(PruningError) {
      try context.stepLimit.check()
      let image = images[index]
      return try image.task.run(on: image.request.input(tensors, context), context.models, shared: &shared)
    } catch {
      throw isBatched ? parameters.error(error, inImage: index) : error
    }
  }
}

extension Operation {
  /// The one place where an operation finds what it does with an image.
  fileprivate func task(
    _ image: ImageRequest, _ input: PruningInput, _ models: ModelSet, isTogether: Bool
  ) throws(PruningError) -> any PreparedTask {
    switch self {
    case .localize: try LocalizeTask(image, input, models)
    case .reselect: try ReselectTask(image, input)
    case .prune: try PruneTask(image, input, models, isTogether: isTogether)
    case .compress:
      switch try CompressOperation.Mode(image.parameters) {
      case .merge: try MergeTask(image, input, models)
      case .resampler: try ResampleTask(image, input, models)
      }
    }
  }
}
