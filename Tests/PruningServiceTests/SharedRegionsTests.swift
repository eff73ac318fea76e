import HTTP1
import Testing

@testable import PruningService

/// Memory that is an array.
private final class FakeMemory: SharedMemory {
  let bytes: [UInt8]
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  func byteCount() -> Int { bytes.count }

  func read(_ count: Int, at offset: Int, into buffer: inout [UInt8]) -> Int {
    let found = bytes.dropFirst(offset).prefix(count)
    buffer.append(contentsOf: found)
    return found.count
  }

  func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(SharedMemoryError) { throw .notMemory }
}

@Suite("Regions of shared memory by name")
struct SharedRegionsTests {
  private let regions = SharedRegions(maximumCount: 2) { key throws(SharedMemoryError) in
    guard key == "/known" else { throw .failed("no such key") }
    return FakeMemory(Array(0..<100))
  }

  @Test("are found under their names until they are unregistered, and usable beyond")
  func life() throws {
    try regions.register("b", key: "/known", offset: 90, byteCount: 10)
    try regions.register("a", key: "/known", offset: 0, byteCount: 100)
    #expect(regions.all.map(\.name) == ["a", "b"] && regions.count == 2)
    let held = try #require(try regions.region("b"))
    #expect((held.key, held.offset, held.byteCount) == ("/known", 90, 10))
    for _ in 0..<2 { regions.unregister("b") }
    #expect(try regions.region("b") == nil)
    #expect(try held.extent.bytes() == Array(90..<100))
    regions.unregisterAll()
    #expect(regions.all.isEmpty)
  }

  @Test("are refused by cause")
  func refusals() throws {
    func error(_ name: String, _ key: String = "/known", _ offset: Int = 0, _ count: Int = 1) throws
      -> SharedRegions.RegistrationError?
    {
      #expect(throws: SharedRegions.RegistrationError.self) {
        try regions.register(name, key: key, offset: offset, byteCount: count)
      }
    }
    for name in ["", "a b", "a\"", "a\\", "\u{e9}", String(repeating: "a", count: 257)] {
      #expect(try error(name) == .badName, "\(name)")
    }
    #expect(try error("a", "/unknown") == .memory(.failed("no such key")))
    for (offset, count) in [(0, 101), (100, 1), (-1, 1), (1, .max), (0, -1)] {
      #expect(
        try error("a", "/known", offset, count)
          == .memory(.outOfBounds(offset: offset, byteCount: count, available: 100)))
    }
    try regions.register("a", key: "/known", offset: 0, byteCount: 1)
    #expect(try error("a") == .alreadyRegistered("a"))
    try regions.register("b", key: "/known", offset: 0, byteCount: 1)
    #expect(try error("c") == .tooMany(limit: 2))
    regions.unregister("a")
    try regions.register("c", key: "/known", offset: 0, byteCount: 1)
  }

  @Test(
    "have names that paths may escape",
    arguments: [("a%2Fb", "a/b"), ("a+b", "a+b"), ("100%", "100%"), ("%+f", "%+f"), ("%ff", "%ff")])
  func escapedNames(segment: String, name: String) {
    #expect(SharedMemoryRegistration.name(segment) == name)
  }

  @Test("are not allowed unless something opens their keys")
  func closed() {
    let closed = SharedRegions()
    #expect(!closed.isAllowed)
    #expect(throws: SharedRegions.RegistrationError.memory(.notAllowed(setting: "named"))) {
      try closed.register("a", key: "/known", offset: 0, byteCount: 1)
    }
    #expect(throws: SharedMemoryError.notAllowed(setting: "named")) { try closed.region("a") }
  }
}
