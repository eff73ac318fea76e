import Glibc
import JSON
import PruningNumerics
import PruningService
import TensorFormats
import Tensors
import TokenPruning

extension FuzzTarget {
  /// A whole operation, comparison or plan, on tensors and parameters that are made of the input's bytes by choice: shapes,
  /// element types, values, methods and what they take, layouts, regions, stages and batches, with extreme numbers among
  /// all of them. Most are small, so that thousands are tried in a second; one in 16 may have hundreds of tokens or dozens of
  /// images, and one in 512 has thousands of tokens.
  static let operation = FuzzTarget("operation", maximumBytes: 512, readsText: false) {
    bytes throws(BrokenLaw) in
    var request = OperationChoices(bytes)
    let subject = request.choices.byte()
    let form = request.choices.byte()
    switch subject % 8 {
    case 6:
      let document = request.document(for: .prune, comparing: true)
      try checkComparison(document, form)
    case 7:
      let parameters = request.plan()
      try checkPlan(parameters)
    default:
      let operation = PruningService.Operation.allCases[subject % 8 % PruningService.Operation.allCases.count]
      let document = request.document(for: operation, comparing: false)
      try checkOperation(operation, document, form)
    }
  }

  /// What needs longer is rejected for that; libFuzzer's own timeout notices what does not ask. Nothing small takes so
  /// long, and what large inputs do after these milliseconds is what they did before. The thread's own time counts, since
  /// the same input should do the same on a busy machine.
  private static func overdue() -> @Sendable () -> Bool {
    let deadline = threadNanoseconds() + 20_000_000
    return { threadNanoseconds() >= deadline }
  }

  private static func threadNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }

  private static func checkOperation(
    _ operation: PruningService.Operation, _ document: TensorDocument, _ form: Int
  ) throws(BrokenLaw) {
    guard let answer = try answer(operation, document) else { return }
    try require(answer.keptCount >= 0 && answer.tokenCount >= 0, "counts are counts")
    for sample in answer.samples { try requireIndices(of: sample, isMerged: operation == .compress) }
    let isAskedTwice = form / 8 % 8 == 0
    let again = isAskedTwice ? try self.answer(operation, document) : nil
    if form % 4 == 3 {
      if answer.tokenCount <= 100_000 { try requirePicture(answer.picture()) }
      return
    }
    let format = TensorFormats.answers[form % 4 % TensorFormats.answers.count]
    let encoded = Result { () throws(Problem) in try answer.encoded(as: format) }
    switch encoded {
    case .success(let bytes):
      if format.name == JSONTensorFormat.name { try requireObject(bytes) }
    case .failure(let problem):
      try require([415, 422].contains(problem.status), "an answer has a form or says why not")
    }
    guard let again else { return }
    let second = Result { () throws(Problem) in try again.encoded(as: format) }
    try require(second == encoded, "the same document gets the same answer")
  }

  /// The lists of an answer are what the API description says of them.
  private static func requireIndices(of sample: Answer.Sample, isMerged: Bool) throws(BrokenLaw) {
    let lists = Dictionary(uniqueKeysWithValues: sample.indices.map { ($0.name, $0.values) })
    for (name, values) in lists where !["assignments", "sizes"].contains(name) {
      try require(values.allSatisfy { (0..<sample.tokenCount).contains($0) }, "\(name) are tokens: \(values)")
    }
    if let rows = lists["sizes"]?.count, let assignments = lists["assignments"] {
      try require(
        assignments.count == sample.tokenCount && assignments.allSatisfy { (-1..<rows).contains($0) },
        "each token went into a row or into none: \(assignments)")
    }
    guard !isMerged, let chosen = lists["kept_indices"] ?? lists["region_indices"] else { return }
    try require(zip(chosen, chosen.dropFirst()).allSatisfy(<), "tokens ascend: \(chosen)")
    try require(chosen.count == sample.keptCount, "as many tokens as counted: \(chosen)")
  }

  /// - Returns: nil where there is none, for a good reason.
  private static func answer(
    _ operation: PruningService.Operation, _ document: TensorDocument
  ) throws(BrokenLaw) -> Answer? {
    do throws(Problem) {
      return try operation.run(document, isOverdue: overdue())
    } catch {
      try requireReason(error)
      return nil
    }
  }

  private static func checkComparison(_ document: TensorDocument, _ form: Int) throws(BrokenLaw) {
    let comparison: Comparison
    do throws(Problem) {
      comparison = try CompareOperation.run(document, isOverdue: overdue())
    } catch {
      return try requireReason(error)
    }
    try require(
      (0...comparison.tokenCount * comparison.entries.count).contains(comparison.keptCount),
      "counts are counts")
    if form % 2 == 0 {
      try requireObject(Array(JSONValue.object(comparison.json).description.utf8))
    } else if comparison.tokenCount <= 10_000 {
      try requirePicture(comparison.picture())
    }
  }

  private static func checkPlan(_ parameters: JSONObject) throws(BrokenLaw) {
    let plan: JSONObject
    do throws(Problem) {
      plan = try PlanOperation.run(parameters, isOverdue: overdue())
    } catch {
      return try requireReason(error)
    }
    try requireObject(Array(JSONValue.object(plan).description.utf8))
  }

  private static func requireReason(_ problem: Problem) throws(BrokenLaw) {
    try require([422, 503].contains(problem.status), "\(problem.status) is no answer to a whole document")
    try require(!problem.detail.isEmpty, "a problem says what is wrong")
  }

  private static func requirePicture(_ bytes: [UInt8]) throws(BrokenLaw) {
    try require(
      bytes.starts(with: Array("<svg ".utf8)) && bytes.suffix(7) == Array("</svg>\n".utf8)[...],
      "a picture is a document")
  }

  private static func requireObject(_ bytes: [UInt8]) throws(BrokenLaw) {
    let again = try? JSONValue.parse(bytes[...])
    try require(again?.objectValue != nil, "an answer in JSON is JSON")
  }
}
