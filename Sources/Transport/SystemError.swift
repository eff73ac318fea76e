import LibC

/// A failed system call and its `errno`, captured at once.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
  public let call: String
  public let code: Int32

  init(_ call: String, code: Int32 = errno) {
    self.call = call
    self.code = code
  }

  public var description: String { "\(call): \(String(cString: strerror(code)))" }
}
