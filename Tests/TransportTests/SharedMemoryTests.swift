import Glibc
import HTTP1
import Testing

@testable import Transport

/// Memory of a test, which may change at any moment.
private final class ChangingMemory: SharedMemory {
  private let sizes: [Int]
  init(sizes: Int...) { self.sizes = sizes }

  func byteCount() -> Int { sizes[0] }

  func read(_ count: Int, at offset: Int, into buffer: inout [UInt8]) throws(SharedMemoryError) -> Int {
    // Shrinks once the first half is read.
    let available = max(0, (offset == 0 ? sizes[0] / 2 : sizes[1]) - offset)
    buffer.append(contentsOf: [UInt8](repeating: 1, count: min(count, available)))
    return min(count, available)
  }

  func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(SharedMemoryError) {
    throw .failed("read only")
  }
}

@Suite struct SharedMemoryTests {
  /// A name under /dev/shm, gone with the value.
  private final class Name {
    let key: String
    let descriptor: Int32

    init(_ bytes: [UInt8]) throws {
      key = "/crop-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
      descriptor = open("/dev/shm" + key, O_RDWR | O_CREAT | O_EXCL, 0o600)
      guard descriptor >= 0, write(descriptor, bytes, bytes.count) == bytes.count else {
        throw ClientError(what: key, code: errno)
      }
    }

    deinit {
      close(descriptor)
      unlink("/dev/shm" + key)
    }
  }

  @Test("named memory is read and written within its bounds, and never made longer")
  func named() throws {
    let name = try Name(Array(0..<100))
    let memory = try SharedFile(key: name.key)
    let whole = SharedExtent(memory, offset: 0, byteCount: try memory.byteCount())
    #expect(whole.byteCount == 100)
    let part = try whole.part(offset: 90, byteCount: 10)
    #expect(try part.bytes() == Array(90..<100))
    try part.write([1, 2, 3])
    #expect(try whole.part(offset: 88, byteCount: 6).bytes() == [88, 89, 1, 2, 3, 93])
    #expect(throws: SharedMemoryError.outOfBounds(offset: 0, byteCount: 11, available: 10)) {
      try part.write(ArraySlice(repeating: 0, count: 11))
    }
    // Its owner makes it shorter.
    ftruncate(name.descriptor, 95)
    #expect(throws: SharedMemoryError.outOfBounds(offset: 90, byteCount: 10, available: 5)) {
      try part.bytes()
    }
    #expect(throws: SharedMemoryError.outOfBounds(offset: 90, byteCount: 10, available: 95)) {
      try part.write(ArraySlice(repeating: 0, count: 10))
    }
    #expect(try memory.byteCount() == 95)
  }

  @Test(
    "parts of parts stay within", arguments: [(-1, 1), (0, 11), (10, 1), (1, .max), (.max, 1), (0, -1)])
  func parts(_ offset: Int, _ count: Int) throws {
    let extent = SharedExtent(ChangingMemory(sizes: 100, 100), offset: 90, byteCount: 10)
    #expect(throws: SharedMemoryError.self) { try extent.part(offset: offset, byteCount: count) }
  }

  @Test(
    "keys lead nowhere but to one name of shared memory",
    arguments: [
      "", "/", ".", "/..", "/a/b", "../etc/passwd", "//etc", "/a\0b", String(repeating: "a", count: 256),
    ]
  )
  func keys(_ key: String) {
    #expect(throws: SharedMemoryError.self) { try SharedFile(key: key) }
  }

  @Test("a missing name is explained, and a link or a folder is no memory")
  func opening() throws {
    let missing = #expect(throws: SharedMemoryError.self) { try SharedFile(key: "/crop-test-missing") }
    #expect(missing?.message.contains("containers") == true)
    let name = try Name([1])
    for make in [{ symlink("/dev/shm" + name.key, $0) }, { mkdir($0, 0o700) }, { mkfifo($0, 0o600) }] {
      let path = "/dev/shm" + name.key + ".other"
      #expect(make(path) == 0)
      defer { if unlink(path) != 0 { rmdir(path) } }
      #expect(throws: SharedMemoryError.notMemory) { try SharedFile(key: name.key + ".other") }
    }
  }

  @Test("a queue holds two descriptors at most, in order, and a budget all of them")
  func queue() throws {
    let budget = DescriptorBudget(maximum: 3)
    var (one, two) = (DescriptorQueue(), DescriptorQueue())
    let memory = try Name([1])
    let opened = (0..<6).map { _ in open("/dev/shm" + memory.key, O_RDONLY) }
    one.append(opened[..<3], budget)
    #expect(budget.heldCount == 2 && fcntl(opened[2], F_GETFD) < 0)
    two.append(opened[3...], budget)
    #expect(budget.heldCount == 3 && fcntl(opened[4], F_GETFD) < 0 && fcntl(opened[5], F_GETFD) < 0)
    #expect(try one.takeFirst()?.rawValue == opened[0])
    #expect(fcntl(opened[0], F_GETFD) < 0)
    #expect(try two.takeFirst()?.rawValue == opened[3])
    #expect(throws: SharedMemoryError.noRoomForDescriptor) { try two.takeFirst() }
    #expect(try two.takeFirst() == nil)
    one.removeAll()
    #expect(budget.heldCount == 0 && one.isEmpty && fcntl(opened[1], F_GETFD) < 0)
  }

  @Test("what is not memory is not held, and said to be none where a request wants it")
  func others() throws {
    let budget = DescriptorBudget(maximum: 3)
    var queue = DescriptorQueue()
    let memory = try Name([1])
    queue.append([dup(0), open("/dev/shm" + memory.key, O_RDONLY)], budget)
    #expect(budget.heldCount == 1)
    #expect(throws: SharedMemoryError.notMemory) { try queue.takeFirst() }
    #expect(try queue.takeFirst() != nil)
  }

  @Test("a body that becomes shorter while it is read ends the reading")
  func shrinking() {
    let body = SharedBody(SharedExtent(ChangingMemory(sizes: 100, 60), offset: 0, byteCount: 100))
    var buffer: [UInt8] = []
    buffer.reserveCapacity(100)
    #expect(body.read(into: &buffer, atMost: 100) == .bytes(50))
    #expect(body.read(into: &buffer, atMost: 50) == .bytes(10))
    #expect(body.read(into: &buffer, atMost: 40) == .end && buffer.count == 60)
    #expect(body.failure.message.contains("became shorter"))
  }
}
