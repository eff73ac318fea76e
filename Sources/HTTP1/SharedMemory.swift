/// Memory that a client shares with the server, to hold a request's body or a part of an answer.
///
/// Whoever shares it may change or shrink it at any time, so its bytes are copied out before anything is made of them,
/// and only one copy is ever looked at.
public protocol SharedMemory: AnyObject, Sendable {
  /// Its size at this moment.
  ///
  /// - Throws: where the system cannot say.
  func byteCount() throws(SharedMemoryError) -> Int

  /// Appends up to `count` bytes from `offset` on to `buffer`, within its reserved capacity.
  ///
  /// - Returns: how many there were; 0 where the memory ends.
  func read(_ count: Int, at offset: Int, into buffer: inout [UInt8]) throws(SharedMemoryError) -> Int

  /// Overwrites the bytes from `offset` on.
  ///
  /// - Throws: where that is not allowed, or goes beyond the end.
  func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(SharedMemoryError)
}

/// A part of shared memory.
public struct SharedExtent: Sendable {
  public let memory: any SharedMemory
  public let offset: Int
  public let byteCount: Int

  public init(_ memory: any SharedMemory, offset: Int, byteCount: Int) {
    self.memory = memory
    self.offset = offset
    self.byteCount = byteCount
  }

  /// The part of this one from `offset` on.
  ///
  /// - Throws: when it does not lie within this one.
  public func part(offset: Int, byteCount: Int) throws(SharedMemoryError) -> SharedExtent {
    let (end, overflow) = offset.addingReportingOverflow(byteCount)
    guard offset >= 0, byteCount >= 0, !overflow, end <= self.byteCount else {
      throw .outOfBounds(offset: offset, byteCount: byteCount, available: self.byteCount)
    }
    return SharedExtent(memory, offset: self.offset + offset, byteCount: byteCount)
  }

  /// A copy of all bytes. The caller has accounted for its memory.
  ///
  /// - Throws: when the memory has become shorter.
  public func bytes() throws(SharedMemoryError) -> [UInt8] {
    var buffer: [UInt8] = []
    buffer.reserveCapacity(byteCount)
    while buffer.count < byteCount {
      let count = try memory.read(byteCount - buffer.count, at: offset + buffer.count, into: &buffer)
      guard count > 0 else {
        throw .outOfBounds(offset: offset, byteCount: byteCount, available: max(0, buffer.count))
      }
    }
    return buffer
  }

  /// Overwrites the first bytes with `bytes`.
  ///
  /// - Throws: when they do not fit.
  public func write(_ bytes: ArraySlice<UInt8>) throws(SharedMemoryError) {
    guard bytes.count <= byteCount else {
      throw .outOfBounds(offset: 0, byteCount: bytes.count, available: byteCount)
    }
    try memory.write(bytes, at: offset)
  }
}

/// Why shared memory cannot be used.
public enum SharedMemoryError: Error, Sendable, Equatable {
  /// The setting does not allow it.
  case notAllowed(setting: String)
  /// A request says that its body lies in a descriptor, and brings none.
  case noDescriptor(isUnix: Bool)
  /// The server cannot hold another descriptor.
  case noRoomForDescriptor
  /// A descriptor of something else than memory: a file on disk, a pipe, a socket.
  case notMemory
  case outOfBounds(offset: Int, byteCount: Int, available: Int)
  case unknownName(String)
  /// A system call failed, with its reason.
  case failed(String)

  /// For who sent the request: what was found, what was expected, what to do.
  public var message: String {
    switch self {
    case .notAllowed(let setting):
      "this server does not accept such shared memory; --shared-memory \(setting) enables it"
    case .noDescriptor(true):
      "no file descriptor came with the request's head; send one by SCM_RIGHTS in the same sendmsg, or name a "
        + "registered region"
    case .noDescriptor(false):
      "file descriptors can be passed only over Unix sockets, and not through a proxy; connect to the server's socket, "
        + "or name a registered region"
    case .noRoomForDescriptor:
      "the server can hold no more file descriptors at the moment; send the request again"
    case .notMemory:
      "the file descriptor does not refer to readable memory; pass one from memfd_create or shm_open that is open for "
        + "reading"
    case .outOfBounds(let offset, let byteCount, let available):
      "\(byteCount) bytes from offset \(offset) exceed the \(available) bytes of shared memory"
    case .unknownName(let name): "there is no region '\(name)'; register it first"
    case .failed(let reason): reason
    }
  }
}

/// Where a request says that its body lies: the value of `Crop-Shared-Memory`.
///
/// A dictionary of RFC 9651: `length=1179776`, bytes of the body; `offset=4096`, where they begin, 0 if left out;
/// `name="slot-1"`, a registered region, in place of the descriptor that comes with the head.
public struct SharedMemoryReference: Sendable, Equatable {
  public static let fieldName = "crop-shared-memory"

  /// Nil for the descriptor that comes with the request.
  public private(set) var name: String?
  public private(set) var offset = 0
  public let length: Int
}

extension SharedMemoryReference {
  /// RFC 9651, section 3.3.1.
  private static let largestInteger = 999_999_999_999_999
  private static let maximumNameBytes = 256

  /// - Throws: for anything but a dictionary with these members, each at most once.
  init(_ value: ArraySlice<UInt8>) throws(FramingError) {
    var members: [(name: ArraySlice<UInt8>, value: ArraySlice<UInt8>)] = []
    var isDictionary = true
    HeaderFields.splitList(value) { member in
      guard let sign = member.firstIndex(of: UInt8(ascii: "=")) else { return isDictionary = false }
      members.append((member[..<sign], member[(sign + 1)...]))
    }
    guard isDictionary else { throw Self.malformed }
    var (name, offset, length): (String?, Int?, Int?) = (nil, nil, nil)
    for member in members {
      switch String(decoding: member.name, as: UTF8.self) {
      case "name" where name == nil: name = try Self.string(member.value)
      case "offset" where offset == nil: offset = try Self.integer(member.value)
      case "length" where length == nil: length = try Self.integer(member.value)
      default: throw Self.malformed
      }
    }
    guard let length else { throw Self.malformed }
    self.init(name: name, offset: offset ?? 0, length: length)
  }

  private static func integer(_ value: ArraySlice<UInt8>) throws(FramingError) -> Int {
    guard let number = ASCII.number(value), number <= largestInteger else { throw malformed }
    return number
  }

  /// A string of RFC 9651 without escapes: no name needs one.
  private static func string(_ value: ArraySlice<UInt8>) throws(FramingError) -> String {
    let quote = UInt8(ascii: "\"")
    guard value.count >= 3, value.count <= maximumNameBytes + 2, value.first == quote, value.last == quote
    else {
      throw malformed
    }
    let text = value.dropFirst().dropLast()
    guard text.allSatisfy({ $0 >= 0x20 && $0 < 0x7f && $0 != quote && $0 != UInt8(ascii: "\\") }) else {
      throw malformed
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static let malformed = FramingError(
    "Crop-Shared-Memory must be like length=1024, offset=0, name=\"region\": the length in bytes; the offset, if not 0; "
      + "and the name of a registered region, if no file descriptor comes with the request")
}
