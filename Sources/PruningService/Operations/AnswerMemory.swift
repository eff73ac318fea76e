import HTTP1
import JSON
import Locking
import TensorFormats
import Tensors
import TokenPruning

/// The short way for `/prune` requests that repeat in all but what their tensors hold.
///
/// What a method that looks at shapes alone answers follows from the head and from the bytes before the tensor; what
/// top-k answers follows from those but for its indices. So once an answer was made in full, the next to the same head
/// and the same bytes is made of its text, and of new indices where those depend on scores: no parameters to read, no
/// JSON to build. An answer of top-k is only learned from when this way gives it byte for byte, and when nothing in it
/// may depend on a score (`fixedMembers`); all other requests go the long way.
final class AnswerMemory: Sendable {
  fileprivate struct Form {
    /// Of the body, everything before the tensor.
    let prefix: [UInt8]
    let bodyByteCount: Int
    let tokenCount: Int
    let keptCount: Int
    let text: Text
    let annotations: [Response.Field]
  }

  fileprivate enum Text {
    /// Whatever the tensor holds.
    case whole([UInt8])
    /// Around the indices of the highest scores, or of the highest means of several rows.
    case around(ScoreForm, before: [UInt8], after: [UInt8])
  }

  fileprivate struct ScoreForm {
    let elementType: ElementType
    let rows: Int

    func row(_ bytes: ArraySlice<UInt8>) -> ScoreRow? { ScoreRow(bytes, elementType, rows: rows) }
  }

  fileprivate struct State {
    var forms: [Form] = []
    var next = 0
    var hasBeenAsked = false
    var scratch = ScoreRow.Scratch()
  }

  /// Bodies of so many shapes under one head.
  fileprivate static let maximumForms = 4
  /// Longer texts, and bytes before a tensor, are not held.
  private static let maximumTextBytes = 32 << 10

  private static let parameterNames = Set(TokenBudget.names + ["method", "seed", "tensor_dtype", "batched"])
  private static let fixedMembers = Set(
    TokenBudget.names + ["decided_by", "pruned_count", "average_tokens"])

  private let state = Locked(State())

  /// - Returns: nil when answers to this head depend on more than its path, its query and the body: on what the client
  ///   accepts, or on who asks.
  init?(_ head: RequestHead, _ match: Router.Match?) {
    guard case .endpoint(let endpoint, _) = match, endpoint.kind == .operation, head.path == "/prune",
      !head.fields.contains("origin"), Self.acceptsJSON(head)
    else { return nil }
  }

  private static func acceptsJSON(_ head: RequestHead) -> Bool {
    let accepted = head.fields.values("accept")
    return accepted.isEmpty
      || accepted.count == 1
        && (accepted[0].elementsEqual("*/*".utf8) || accepted[0].elementsEqual("application/json".utf8))
  }

  /// What is known of an answer: its facts for the log, and the counts of tokens.
  typealias Remembered = (annotations: [Response.Field], received: Int, kept: Int)

  /// Writes the answer to a body of known form.
  ///
  /// - Returns: nil when it has to be made in full.
  func answer(
    _ body: [UInt8], _ reader: ScoreReader?, into response: inout Response
  ) -> Remembered? {
    state.withLock { state in
      for form in state.forms {
        let prefix = form.prefix
        guard form.bodyByteCount == body.count, body.span.bytes.begins(with: prefix.span.bytes) else {
          continue
        }
        switch form.text {
        case .whole(let text): response.body.append(contentsOf: text)
        case .around(let scores, let before, let after):
          guard let row = scores.row(body[prefix.count...]),
            Self.write(
              row, form.keptCount, before, after, reader?.takeSums(of: prefix, scores.elementType, row.count),
              &state.scratch, to: &response.body)
          else { return nil }
        }
        return (form.annotations, form.tokenCount, form.keptCount)
      }
      return nil
    }
  }

  /// Writes the answer to a body of `bodyByteCount` bytes of which the first are known, where it follows from them whatever
  /// the tensor holds.
  func answer(start: [UInt8], bodyByteCount: Int, into response: inout Response) -> Remembered? {
    state.withLock { state in
      for form in state.forms {
        let prefix = form.prefix
        guard case .whole(let text) = form.text, form.bodyByteCount == bodyByteCount,
          prefix.count <= start.count, start.span.bytes.begins(with: prefix.span.bytes)
        else { continue }
        response.body.append(contentsOf: text)
        return (form.annotations, form.tokenCount, form.keptCount)
      }
      return nil
    }
  }

  /// Who adds up the rows of scores of a body of so many bytes while it arrives.
  func reader(bodyByteCount: Int) -> ScoreReader? {
    state.withLock { state in
      for form in state.forms where form.bodyByteCount == bodyByteCount {
        guard case .around(let scores, _, _) = form.text, scores.rows > 1 else { continue }
        let rowBytes = (bodyByteCount - form.prefix.count) / scores.rows
        return ScoreReader(form.prefix, scores.elementType, rowBytes / scores.elementType.byteWidth)
      }
      return nil
    }
  }

  /// Learns from an answer that was made in full.
  func learn(
    from document: TensorDocument, in body: [UInt8], _ answer: Answer, _ encoded: [UInt8],
    _ annotations: [Response.Field]
  ) {
    guard state.withLock({ $0.isWorthLearning() }), encoded.count <= Self.maximumTextBytes,
      // First of all: JSON, which holds no tensor as it is, gets no further.
      let (name, tensor, start) = Self.onlyTensor(of: document, in: body), start <= Self.maximumTextBytes,
      document.parameters.names.allSatisfy(Self.parameterNames.contains), Self.isPlain(answer),
      let text = Self.text(of: answer, encoded, name, tensor)
    else { return }
    let form = Form(
      prefix: Array(body[..<start]), bodyByteCount: body.count, tokenCount: answer.tokenCount,
      keptCount: answer.keptCount, text: text, annotations: annotations)
    state.withLock { $0.add(form) }
  }

  /// The one tensor of the document, when it is the end of the body as it is, and where it begins.
  private static func onlyTensor(
    of document: TensorDocument, in body: [UInt8]
  ) -> (name: String, tensor: Tensor, start: Int)? {
    let names = document.tensors.names
    guard names.count == 1, case .one(let tensor) = document.tensors[names[0]], tensor.elementCount > 0,
      tensor.elementType.isFloatingPoint
    else { return nil }
    let start = body.count - tensor.bytes.count
    // Elements that were reordered or swapped are a copy, and lie elsewhere.
    let isView = body.withUnsafeBytes { body in
      tensor.bytes.withUnsafeBytes { bytes in body.baseAddress.map { $0 + start } == bytes.baseAddress }
    }
    return start > 0 && isView ? (names[0], tensor, start) : nil
  }

  /// Whether an answer says nothing but what follows from the counts of tokens, and the indices.
  private static func isPlain(_ answer: Answer) -> Bool {
    !answer.isBatched && answer.samples.count == 1 && answer.samples[0].tensors.isEmpty
      && answer.samples[0].indices.count == 1
      && answer.samples[0].members.names.allSatisfy(fixedMembers.contains)
  }

  /// What answers of this form have in common, if there is a short way to them.
  private static func text(
    of answer: Answer, _ encoded: [UInt8], _ name: String, _ tensor: Tensor
  ) -> Text? {
    let method = answer.shared["method"]?.stringValue
    if valueBlindMethods.contains(method ?? "") { return .whole(encoded) }
    guard method == "topk", name == "attention", let scores = scoreForm(tensor),
      let row = scores.row(tensor.bytes),
      let list = encoded.firstRange(of: Array("\"kept_indices\":[".utf8)),
      let end = encoded[list.upperBound...].firstIndex(of: UInt8(ascii: "]"))
    else { return nil }
    let (before, after) = (Array(encoded[..<list.upperBound]), Array(encoded[end...]))
    var again: [UInt8] = []
    var scratch = ScoreRow.Scratch()
    guard write(row, answer.keptCount, before, after, nil, &scratch, to: &again), again == encoded else {
      return nil
    }
    return .around(scores, before: before, after: after)
  }

  private static let valueBlindMethods = Set(
    MethodRegistry.standard.descriptors.filter { !$0.readsValues }.map(\.name))

  /// How to read a tensor of scores, one row or several, that is small enough to be looked at on the event loop.
  private static func scoreForm(_ tensor: Tensor) -> ScoreForm? {
    let count = tensor.shape[tensor.rank - 1]
    let rows = tensor.elementCount / count
    let isTiny = tensor.bytes.count <= OperationCost.tinyBodyBytes
    guard
      isTiny
        || tensor.bytes.count <= OperationCost.briefBodyBytes && count <= OperationCost.largestBriefExtent
          && rows <= OperationCost.largestBriefExtent
    else { return nil }
    return ScoreForm(elementType: tensor.elementType, rows: rows)
  }

  private static func write(
    _ row: ScoreRow, _ kept: Int, _ before: [UInt8], _ after: [UInt8], _ sums: consuming ScoreRow.ColumnSums?,
    _ scratch: inout ScoreRow.Scratch, to body: inout [UInt8]
  ) -> Bool {
    row.withHighest(kept, &scratch, sums: consume sums) { indices in
      body.append(contentsOf: before)
      Decimal.append(indices, to: &body)
      body.append(contentsOf: after)
    }
  }
}

extension AnswerMemory.State {
  /// Whether a head came before: learning from one that never comes again would be in vain.
  fileprivate mutating func isWorthLearning() -> Bool {
    defer { hasBeenAsked = true }
    return hasBeenAsked
  }

  fileprivate mutating func add(_ form: AnswerMemory.Form) {
    guard forms.count == AnswerMemory.maximumForms else { return forms.append(form) }
    forms[next] = form
    next = (next + 1) % AnswerMemory.maximumForms
  }
}
