public import PruningNumerics

/// A pruning request of which everything is decided that follows from parameters, layout and shapes: the method and its
/// parameters, the budget of every group, the region where the caller gave one.
///
/// It holds for all inputs that differ from the first in the elements of their tensors alone.
public final class PreparedPruning: Sendable {
  private enum Form: Sendable {
    case image(Image)
    /// Of a layout with several, which is taken apart anew for each input.
    case images(PruneRequest)
  }

  /// Held by reference, since every run begins with it.
  private final class Image: Sendable {
    let trace: PruningTrace
    let quotas: Quotas

    init(_ trace: PruningTrace, _ quotas: Quotas) {
      self.trace = trace
      self.quotas = quotas
    }
  }

  private let form: Form
  /// Of the steps that are carried out, 1 at least.
  public let stepCount: Int
  /// The method that will decide: the one asked for, or the scorer that it chooses for these tensors.
  public let deciding: MethodDescriptor
  public let work: MethodWork
  /// Why that method, where it was chosen here.
  private let reason: String?

  /// - Throws: ``PruningError`` at the request member that is wrong.
  public init(_ input: PruningInput, _ request: PruneRequest) throws(PruningError) {
    let method = try MethodRegistry.standard.method(of: request)
    guard !input.hasSeveralImages else {
      // Names tell which attention a stage reads; the elements would be cut in vain.
      let sketch = input.replacing(tensors: [:])
      do throws(SharedPruningError) {
        try ImagesRun.check([sketch], [request])
      } catch {
        throw error.error
      }
      form = .images(request)
      stepCount = max(request.stages.count, 1)
      let resolved = try method.resolved(for: input)
      deciding = type(of: resolved).descriptor
      work = MethodWork(resolved, on: input)
      reason = nil
      return
    }
    let request = try request.expandingSchedule(for: input)
    let remaining = method.remaining(in: input)
    let resolved = try remaining.resolved(for: input)
    // A stage may bring the attention that another choice of scorer depends on.
    let isFixed = request.stages.isEmpty && input.previous == nil
    let trace = try PruningTrace(input, request, method: isFixed ? resolved : remaining, scope: request.scope)
    let quotas = try trace.quotas()
    // What belongs to one request alone is not kept.
    let sketch = PruningInput(
      tokenCount: input.tokenCount, tensors: [:], layout: input.layout, previous: input.previous)
    form = .image(Image(try trace.starting(on: sketch, region: nil), quotas))
    stepCount = quotas.steps.count
    deciding = type(of: resolved).descriptor
    work = MethodWork(resolved, on: input)
    reason = isFixed ? try remaining.reason(for: input) : nil
  }

  /// - Parameters:
  ///   - input: of the same shapes and layout as the one this was prepared for.
  ///   - region: the tokens of the region that was found in this input, where the request brings none.
  /// - Throws: ``PruningError`` at the tensor that is wrong.
  /// - Complexity: that of the method, once per stage, and once per budget for methods without scores.
  public func run(on input: PruningInput, region: [Int]? = nil) throws(PruningError) -> PruneResult {
    switch form {
    case .images(var request):
      if let region { request.regionTokens = region }
      return try pruneImages(input, request)
    case .image(let image):
      var trace = try image.trace.starting(on: input, region: region)
      for step in image.quotas.steps {
        try trace.keep(at: step, trace.input(for: step))
      }
      return trace.result(notes: image.quotas.notes, reason: reason)
    }
  }
}
