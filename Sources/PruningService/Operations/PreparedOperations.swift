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
    /// What it takes while it is kept, with a margin: parameters and metadata take less than decoding them did.
    var keptBytes: Int { operation.keptBytes &+ decodedBytes }
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

  private static let maximumCount = 4
  /// Of all together: they stay when their clients are gone, and may never be wanted again.
  private let maximumBytes: Int
  /// The oldest first.
  private let entries = Locked([Entry]())

  init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

  /// What was prepared for a body that says the same of its tensors.
  func find(_ body: [UInt8]) -> PreparedRequest? {
    entries.withLock { entries in
      for entry in entries {
        guard let plan = entry.body, plan.fits(body) else { continue }
        return PreparedRequest(
          entry.operation, .inBody(plan), format: entry.format, decodedBytes: entry.decodedBytes)
      }
      return nil
    }
  }

  /// The same for a body of which only the start is there, where that decides the answer.
  func find(start: [UInt8], bodyByteCount: Int) -> PreparedRequest? {
    entries.withLock { entries in
      for entry in entries {
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
    entries.withLock { entries in entries.first { $0.fits(document, format) }?.operation }
  }

  /// Keeps an operation in the place of those that have been here longest; not one that is too large.
  func add(
    _ operation: PreparedOperation, for document: TensorDocument, _ format: any TensorFormat.Type,
    decodedBytes: Int, _ body: BodyPlan?
  ) {
    guard operation.plan != nil else { return }
    let entry = Entry(operation, for: document, format, decodedBytes: decodedBytes, body)
    guard entry.keptBytes <= maximumBytes else { return }
    entries.withLock { entries in
      while entries.count == Self.maximumCount
        || entries.reduce(entry.keptBytes, { $0 + $1.keptBytes }) > maximumBytes
      {
        entries.removeFirst()
      }
      entries.append(entry)
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
