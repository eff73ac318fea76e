import JSON
import Tensors

/// Why a body could not be read, or an answer not be written.
public struct TensorFormatError: Error, Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// The bytes are not what the format demands (HTTP 400).
    case malformed
    /// The bytes are well-formed and say something this service does not support (HTTP 415).
    case unsupported
    /// The bytes are well-formed and their content is impossible (HTTP 422).
    case invalidContent
    /// The bytes stand for more than is accepted (HTTP 413).
    case tooLarge
    /// ``DecodingHints/isInterrupted`` said so.
    case interrupted
  }

  public var kind: Kind
  /// A JSON pointer such as `/image_features/3`; empty for the whole body.
  public var pointer: String
  /// Bytes before the offending one, where that helps.
  public var byteOffset: Int?
  public var message: String

  public init(_ kind: Kind, pointer: String = "", byteOffset: Int? = nil, _ message: String) {
    self.kind = kind
    self.pointer = pointer
    self.byteOffset = byteOffset
    self.message = message
  }

  init(_ kind: Kind, tensor: String, _ message: String) {
    self.init(kind, pointer: JSONPointer.token(tensor), message)
  }

  /// - Parameter start: where the JSON text starts within the body.
  init(_ error: JSONError, startingAt start: Int = 0) {
    let kind: Kind =
      switch error.kind {
      case .syntax: .malformed
      case .content: .invalidContent
      case .interrupted: .interrupted
      }
    self.init(kind, pointer: error.pointer, byteOffset: start + error.offset, error.message)
  }
}

extension TensorFormatError: CustomStringConvertible {
  public var description: String {
    let place = pointer.isEmpty ? "" : "\(pointer): "
    return place + message + (byteOffset.map { " (byte \($0))" } ?? "")
  }
}

extension Tensor {
  /// A tensor whose faults are reported under its name.
  static func named(
    _ name: String, _ elementType: ElementType, _ shape: Shape, _ bytes: ArraySlice<UInt8>
  ) throws(TensorFormatError) -> Tensor {
    do throws(TensorError) {
      return try Tensor(elementType: elementType, shape: shape, bytes: bytes)
    } catch {
      throw TensorFormatError(.invalidContent, tensor: name, error.description)
    }
  }

  /// A tensor whose faults are reported at its place in a JSON text.
  static func inJSON(
    _ elementType: ElementType, _ dimensions: [Int], _ bytes: ArraySlice<UInt8>, at offset: Int
  ) throws(JSONError) -> Tensor {
    do throws(TensorError) {
      return try Tensor(elementType: elementType, shape: Shape(dimensions), bytes: bytes)
    } catch {
      throw JSONError(.content, offset: offset, error.description)
    }
  }
}

extension Shape {
  /// A shape whose faults are reported under its tensor's name.
  static func named(_ name: String, _ dimensions: [Int]) throws(TensorFormatError) -> Shape {
    do throws(TensorError) {
      return try Shape(dimensions)
    } catch {
      throw TensorFormatError(.invalidContent, tensor: name, error.description)
    }
  }
}
