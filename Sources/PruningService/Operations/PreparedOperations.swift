import JSON
import Locking
import TensorFormats

/// The operations that were prepared last for requests of one head, to be run again on other elements.
///
/// What an operation is prepared from is all compared: of a body that ends with its tensors every byte before them and its
/// length, of any other one the parameters, other metadata, and names, types and shapes of tensors; the head is the same
/// by itself.
final class PreparedOperations: Sendable {
  private final class Entry: Sendable {
    let operation: PreparedOperation
    let format: any TensorFormat.Type
    let decodedBytes: Int
    let body: BodyPlan?
    private let parameters: JSONObject
    private let otherMetadata: [String]
    private let tensors: TensorForms

    init(
      _ operation: PreparedOperation, for document: TensorDocument, _ format: any TensorFormat.Type,
      decodedBytes: Int, _ body: BodyPlan?
    ) {
      self.operation = operation
      self.format = format
      self.decodedBytes = decodedBytes
      self.body = body
      parameters = document.parameters
      otherMetadata = document.otherMetadata
      tensors = TensorForms(document.tensors)
    }

    func fits(_ document: TensorDocument, _ format: any TensorFormat.Type) -> Bool {
      format == self.format && tensors.fit(document.tensors) && parameters == document.parameters
        && otherMetadata == document.otherMetadata
    }
  }

  private struct State {
    var entries: [Entry] = []
    var oldest = 0
  }

  private static let maximumCount = 4
  // Operations on more take more memory than is held for what may never come again, and gain little.
  private static let maximumTokens = 8 << 10
  private static let maximumImages = 64
  /// Parameters may be as large as a body; those in front of tensors are bounded by ``BodyPlan``.
  private static let maximumDecodedBytes = 256 << 10

  private let state = Locked(State())

  /// What was prepared for a body that says the same of its tensors.
  func find(_ body: [UInt8]) -> PreparedRequest? {
    state.withLock { state in
      for entry in state.entries {
        guard let plan = entry.body, plan.fits(body) else { continue }
        return PreparedRequest(
          entry.operation, .inBody(plan), format: entry.format, decodedBytes: entry.decodedBytes)
      }
      return nil
    }
  }

  /// The same for a body of which only the start is there, where that decides the answer.
  func find(start: [UInt8], bodyByteCount: Int) -> PreparedRequest? {
    state.withLock { state in
      for entry in state.entries {
        guard let plan = entry.body, plan.fits(start: start, bodyByteCount),
          entry.operation.knownAnswer != nil
        else { continue }
        return PreparedRequest(
          entry.operation, .inBody(plan), format: entry.format, decodedBytes: entry.decodedBytes)
      }
      return nil
    }
  }

  /// What was prepared for a document that differs in the elements of its tensors alone.
  func find(_ document: TensorDocument, _ format: any TensorFormat.Type) -> PreparedOperation? {
    state.withLock { state in state.entries.first { $0.fits(document, format) }?.operation }
  }

  /// Keeps an operation in the place of the one that has been here longest.
  func add(
    _ operation: PreparedOperation, for document: TensorDocument, _ format: any TensorFormat.Type,
    decodedBytes: Int, _ body: BodyPlan?
  ) {
    guard operation.plan != nil, operation.tokenCount <= Self.maximumTokens,
      operation.imageCount <= Self.maximumImages,
      body != nil || decodedBytes <= Self.maximumDecodedBytes
    else { return }
    let entry = Entry(operation, for: document, format, decodedBytes: decodedBytes, body)
    state.withLock { state in
      guard state.entries.count == Self.maximumCount else { return state.entries.append(entry) }
      state.entries[state.oldest] = entry
      state.oldest = (state.oldest + 1) % Self.maximumCount
    }
  }
}

/// A request whose operation is prepared, and where its tensors are.
final class PreparedRequest: Sendable {
  enum Tensors: Sendable {
    case inBody(BodyPlan)
    /// In the order of ``TensorForms/bytes(of:)``.
    case decoded([ArraySlice<UInt8>])
  }

  let operation: PreparedOperation
  let format: any TensorFormat.Type
  /// The most memory that decoding the body took.
  let decodedBytes: Int
  private let tensors: Tensors

  init(
    _ operation: PreparedOperation, _ tensors: Tensors, format: any TensorFormat.Type, decodedBytes: Int
  ) {
    self.operation = operation
    self.tensors = tensors
    self.format = format
    self.decodedBytes = decodedBytes
  }

  /// - Parameter body: the request's.
  func sources(in body: [UInt8]) -> [ArraySlice<UInt8>] {
    switch tensors {
    case .decoded(let sources): return sources
    case .inBody(let plan):
      guard let sources = plan.sources(in: body) else {
        preconditionFailure("the body is the one that was prepared for")
      }
      return sources
    }
  }
}
