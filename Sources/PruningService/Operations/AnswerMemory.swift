import HTTP1
import JSON
import Locking
import TensorFormats
import Tensors
import TokenPruning

/// The short way for `/prune` requests that repeat in all but their scores.
///
/// What top-k over one row of scores answers beside its indices follows from the head and from the bytes before the
/// scores. So once an answer was made in full, the next to the same head and the same bytes is made of its text
/// and of new indices: no parameters to read, no JSON to build. An answer is only learned from when this way gives it
/// byte for byte, and when nothing in it may depend on a score (`fixedMembers`); all other requests go the long way.
final class AnswerMemory: Sendable {
  fileprivate struct Form {
    /// Of the body, everything before the scores.
    let prefix: [UInt8]
    let elementType: ElementType
    let bodyByteCount: Int
    let keptCount: Int
    let before: [UInt8]
    let after: [UInt8]
    let annotations: [Response.Field]
  }

  fileprivate struct State {
    var forms: [Form] = []
    var next = 0
    var hasBeenAsked = false
    var scratch = ScoreRow.Scratch()
  }

  /// Longer bodies are computed elsewhere.
  static let maximumBodyBytes = OperationCost.tinyBodyBytes
  /// Bodies of so many shapes under one head.
  fileprivate static let maximumForms = 4

  private static let parameterNames = Set(TokenBudget.names + ["method", "seed"])
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

  /// Writes the answer to a body of known form.
  ///
  /// - Returns: its facts for the log and the counts of tokens, or nil when it has to be made in full.
  func answer(
    _ body: [UInt8], into response: inout Response
  ) -> (annotations: [Response.Field], received: Int, kept: Int)? {
    guard body.count <= Self.maximumBodyBytes else { return nil }
    return state.withLock { state in
      for form in state.forms {
        let prefix = form.prefix
        guard form.bodyByteCount == body.count, body.span.bytes.begins(with: prefix.span.bytes),
          let row = ScoreRow(body[prefix.count...], form.elementType)
        else { continue }
        guard
          Self.write(row, form.keptCount, form.before, form.after, &state.scratch, to: &response.body)
        else { return nil }
        return (form.annotations, row.count, form.keptCount)
      }
      return nil
    }
  }

  /// Learns from an answer that was made in full.
  func learn(
    from document: TensorDocument, in body: [UInt8], _ answer: Answer, _ encoded: [UInt8],
    _ annotations: [Response.Field]
  ) {
    guard body.count <= Self.maximumBodyBytes, state.withLock({ $0.isWorthLearning() }),
      document.parameters.names.allSatisfy(Self.parameterNames.contains),
      let (row, prefix, type) = Self.scores(of: document, in: body),
      let (before, after) = Self.text(around: answer, encoded, row)
    else { return }
    let form = Form(
      prefix: prefix, elementType: type, bodyByteCount: body.count, keptCount: answer.keptCount,
      before: before, after: after, annotations: annotations)
    state.withLock { $0.add(form) }
  }

  /// The one row of scores that is all of the document, when it lies in the body as it is.
  private static func scores(
    of document: TensorDocument, in body: [UInt8]
  ) -> (row: ScoreRow, prefix: [UInt8], type: ElementType)? {
    guard document.tensors.names == ["attention"], case .one(let tensor) = document.tensors["attention"],
      tensor.rank == 1, tensor.elementCount > 0, let row = ScoreRow(tensor.bytes, tensor.elementType)
    else { return nil }
    let start = body.count - tensor.bytes.count
    // Elements that were reordered or swapped are a copy, and begin elsewhere or are other bytes.
    guard start > 0, tensor.bytes.startIndex == start, body[start...].elementsEqual(tensor.bytes) else {
      return nil
    }
    return (row, Array(body[..<start]), tensor.elementType)
  }

  /// The text of an answer before and behind its indices, if this way gives the same bytes.
  private static func text(
    around answer: Answer, _ encoded: [UInt8], _ row: ScoreRow
  ) -> (before: [UInt8], after: [UInt8])? {
    guard !answer.isBatched, answer.samples.count == 1, answer.shared["method"] == "topk",
      answer.samples[0].tensors.isEmpty, answer.samples[0].indices.count == 1,
      answer.samples[0].members.names.allSatisfy(fixedMembers.contains),
      let list = encoded.firstRange(of: Array("\"kept_indices\":[".utf8)),
      let end = encoded[list.upperBound...].firstIndex(of: UInt8(ascii: "]"))
    else { return nil }
    let (before, after) = (Array(encoded[..<list.upperBound]), Array(encoded[end...]))
    var again: [UInt8] = []
    var scratch = ScoreRow.Scratch()
    guard write(row, answer.keptCount, before, after, &scratch, to: &again), again == encoded else {
      return nil
    }
    return (before, after)
  }

  private static func write(
    _ row: ScoreRow, _ kept: Int, _ before: [UInt8], _ after: [UInt8], _ scratch: inout ScoreRow.Scratch,
    to body: inout [UInt8]
  ) -> Bool {
    row.withHighest(kept, &scratch) { indices in
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
