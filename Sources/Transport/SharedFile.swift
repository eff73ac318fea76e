import CLinux
public import HTTP1
import LibC

/// Memory behind a descriptor: of a client that passed it, or of a name under /dev/shm.
///
/// It is read and written by system calls and never mapped. A mapping would be quicker to read (1.2 MB in 19 us instead of
/// 51), but whoever owns the memory could then end the server with SIGBUS by shrinking it, even a sealed one by filling it
/// with holes where no page can be had, and could have it charged for the pages.
public final class SharedFile: SharedMemory {
  private enum Owner: Sendable {
    case client(ReceivedDescriptor)
    case server(Opened)
  }

  /// A noncopyable descriptor cannot be the payload of an enumeration that is copied.
  private final class Opened: Sendable {
    let descriptor: FileDescriptor
    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
  }

  private let owner: Owner

  private var descriptor: Int32 {
    switch owner {
    case .client(let received): received.rawValue
    case .server(let opened): opened.descriptor.rawValue
    }
  }

  /// Memory that a client passed.
  init(_ received: ReceivedDescriptor) throws(SharedMemoryError) {
    owner = .client(received)
    try check()
  }

  /// Memory under a name of shm_open(3), such as `/features`, for reading and writing.
  public init(key: String) throws(SharedMemoryError) {
    let name = key.utf8.first == UInt8(ascii: "/") ? key.dropFirst() : key[...]
    // One component: a path could lead anywhere.
    guard !name.isEmpty, name.utf8.count <= 255, name != ".", name != "..",
      !name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 })
    else {
      throw .failed(
        "a key is the name of shared memory as in shm_open, a slash and up to 255 bytes without one")
    }
    // Without waiting: what lies there may be a pipe.
    let opened = open("/dev/shm/\(name)", O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard opened >= 0 else { throw Self.cannotOpen(code: errno) }
    owner = .server(Opened(FileDescriptor(owning: opened)))
    try check()
  }

  private static func cannotOpen(code: Int32) -> SharedMemoryError {
    switch code {
    case ENOENT:
      .failed(
        "unable to open the shared memory: the server sees no memory of this key; in containers both must share "
          + "/dev/shm (docker --ipc, or a volume of medium Memory in Kubernetes)")
    case EACCES, EPERM:
      .failed(
        "unable to open the shared memory: it belongs to another user; let the server's user read and write it"
      )
    case EMFILE, ENFILE: .noRoomForDescriptor
    case ELOOP, EISDIR, ENXIO: .notMemory
    default: .failed("unable to open the shared memory: \(SystemError("open", code: code))")
    }
  }

  private func check() throws(SharedMemoryError) {
    guard crop_is_memory(descriptor) != 0 else { throw .notMemory }
  }

  public func byteCount() throws(SharedMemoryError) -> Int {
    var facts = stat()
    guard fstat(descriptor, &facts) == 0 else { throw .failed("\(SystemError("fstat"))") }
    return Int(facts.st_size)
  }

  public func read(_ count: Int, at offset: Int, into buffer: inout [UInt8]) throws(SharedMemoryError) -> Int
  {
    let room = min(count, buffer.capacity - buffer.count)
    precondition(room > 0, "a read needs reserved room")
    let descriptor = descriptor
    var result = 0
    var code: Int32 = 0
    buffer.append(addingCapacity: room) { tail in
      tail.withUnsafeMutableBufferPointer { pointer, initializedCount in
        repeat {
          result = pread(descriptor, pointer.baseAddress, room, off_t(offset))
          code = result < 0 ? errno : 0
        } while code == EINTR
        initializedCount = max(result, 0)
      }
    }
    guard code == 0 else { throw .failed("\(SystemError("pread", code: code))") }
    return result
  }

  public func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(SharedMemoryError) {
    // Writing would make it longer, at the cost of whoever pays for its pages.
    let available = try byteCount()
    guard offset >= 0, offset <= available, bytes.count <= available - offset else {
      throw .outOfBounds(offset: offset, byteCount: bytes.count, available: available)
    }
    var written = 0
    while written < bytes.count {
      let rest = bytes.dropFirst(written)
      let count = rest.withUnsafeBytes {
        pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset + written))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw .failed("\(SystemError("pwrite"))") }
      written += count
    }
  }
}
