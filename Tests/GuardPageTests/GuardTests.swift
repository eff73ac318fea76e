import Testing

@Suite("Guarded memory")
struct GuardTests {
  @Test("a look one byte beyond either end ends the process, one within does not")
  func fences() async {
    await #expect(processExitsWith: .success) {
      let memory = try GuardedMemory(10)
      let bytes = memory.bothEnds([UInt8](1...10))
      try #require(bytes[0].reduce(0, +) == 55 && bytes[1].reduce(0, +) == 55)
    }
    await #expect(processExitsWith: .failure) {
      let memory = try GuardedMemory(10)
      let last = memory.last(10, of: UInt8.self)
      try withExtendedLifetime(memory) { try write(0, to: last.baseAddress.map { $0 + 10 }) }
    }
    await #expect(processExitsWith: .failure) {
      let memory = try GuardedMemory(10)
      let first = memory.first(10, of: UInt8.self)
      try withExtendedLifetime(memory) { try write(0, to: first.baseAddress.map { $0 - 1 }) }
    }
  }
}

/// A write, since a read that nobody uses may be left out.
private func write(_ byte: UInt8, to place: UnsafeMutablePointer<UInt8>?) throws {
  guard let place else { return }
  place.pointee = byte
}
