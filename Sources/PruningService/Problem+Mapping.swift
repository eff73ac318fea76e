import HTTP1
import JSON
import PruningNumerics
import TensorFormats
import TokenPruning

// The only place where the errors of the pure modules become HTTP.

extension Problem {
  init(_ error: PruningError) {
    switch error.kind {
    case .invalidInput, .workLimit: self.init(.invalidInput, error.message, pointer: error.pointer)
    case .overdue: self.init(.computeTimeout, error.message)
    case .unknownMethod: self.init(.unknownMethod, error.message, pointer: error.pointer)
    // For the record only: nobody is there to read it.
    case .abandoned: self.init(.overloaded, error.message)
    }
  }

  init(_ error: TensorFormatError) {
    let place = error.byteOffset.map { " (byte \($0))" } ?? ""
    let type: ProblemType =
      switch error.kind {
      case .malformed: .malformedBody
      case .unsupported: .unsupportedFormat
      case .invalidContent: .invalidInput
      case .tooLarge: .bodyTooLarge
      case .interrupted: .computeTimeout
      }
    guard error.kind != .interrupted else {
      self.init(
        type,
        "reading the body took longer than --compute-timeout allows; send fewer numbers, or send them as bytes: "
          + "safetensors, npy, or base64 in JSON")
      return
    }
    self.init(type, error.message + place, pointer: error.pointer)
  }

  /// An answer that was computed and is too long to write in the time that is left, or whose client is gone.
  static let writingTookTooLong = Problem(
    .computeTimeout,
    "writing the response took longer than --compute-timeout leaves for it; send fewer images, keep fewer tokens, or "
      + "ask for bytes: Accept: \(SafetensorsFormat.mediaTypes[0])")

  init(_ error: SharedMemoryError) {
    guard case .noRoomForDescriptor = error else {
      self.init(.sharedMemory, error.message)
      return
    }
    self.init(.overloaded, error.message, fields: Self.retryAfter)
  }

  init(_ refusal: Refusal) {
    switch refusal {
    case .framing(let error) where error.status == 413:
      self.init(.bodyTooLarge, error.reason + "; --max-body-bytes sets the limit")
    case .framing(let error) where error.status == 414: self.init(.targetTooLong, error.reason)
    case .framing(let error) where error.status == 431: self.init(.headTooLarge, error.reason)
    case .framing(let error): self.init(status: error.status, .badFraming, error.reason)
    case .coding(.tooLarge(let limit)): self.init(.bodyTooLarge, Self.bodyLimit(limit, "the decoded body"))
    case .coding(let error) where error.status == 413: self.init(.bodyTooLarge, error.reason)
    case .coding(let error): self.init(.malformedCoding, error.reason)
    case .bodyTooLarge(let limit): self.init(.bodyTooLarge, Self.bodyLimit(limit))
    case .timedOut(let phase):
      self.init(
        .timedOut,
        "the \(phase) did not arrive in time; --\(phase == "head" ? "header" : phase)-timeout sets how long it may take"
      )
    case .sharedMemory(let error): self.init(error)
    case .noMemoryBudget:
      self.init(
        .overloaded, "too many bytes of request bodies in flight; --max-in-flight-bytes sets the limit",
        fields: Self.retryAfter)
    case .tooManyConnections:
      self.init(
        .overloaded, "too many connections; --max-connections sets the limit", fields: Self.retryAfter)
    case .queueFull:
      self.init(
        status: 429, .overloaded, "too many requests in flight; --max-in-flight sets the limit",
        fields: Self.retryAfter)
    }
  }

  static func bodyLimit(_ limit: Int, _ body: String = "the body") -> String {
    "\(body) is larger than \(limit) bytes; --max-body-bytes sets the limit"
  }

  /// Work in the queue takes milliseconds: one second is the smallest wait that the field can express.
  static let retryAfter = [Response.Field("Retry-After", "1")]
}

/// An error of a module below that has a problem of its own.
protocol ProblemCause: Error {
  var problem: Problem { get }
}

extension PruningError: ProblemCause { var problem: Problem { Problem(self) } }
extension TensorFormatError: ProblemCause { var problem: Problem { Problem(self) } }
extension SharedMemoryError: ProblemCause { var problem: Problem { Problem(self) } }

extension ProblemCause {
  /// What `body` gives; an error of this type is thrown as its problem.
  static func asProblem<Value>(_ body: @autoclosure () throws(Self) -> Value) throws(Problem) -> Value {
    do throws(Self) { return try body() } catch { throw error.problem }
  }
}

extension JSONObject {
  /// What a body of JSON says that must be an object.
  ///
  /// - Throws: `malformed-body`, and `compute-timeout` once `isInterrupted` says so.
  init(
    ofBody body: ArraySlice<UInt8>, maximumValueCount: Int = JSONScanner.defaultMaximumValueCount,
    isInterrupted: Interruption? = nil
  ) throws(Problem) {
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(body, maximumValueCount: maximumValueCount, isInterrupted: isInterrupted)
    } catch {
      throw error.kind == .interrupted
        ? Problem(TensorFormatError(.interrupted, "")) : Problem(.malformedBody, "\(error)")
    }
    guard let object = value.objectValue else {
      throw Problem(.malformedBody, "the body must be an object, not \(value.kindWithArticle)")
    }
    self = object
  }
}
