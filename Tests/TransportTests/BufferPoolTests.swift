import Testing

@testable import Transport

@Suite struct BufferPoolTests {
  private func address(_ buffer: [UInt8]) -> Int {
    buffer.withUnsafeBytes { Int(bitPattern: $0.baseAddress) }
  }

  /// Takes a buffer and gives it back, alone.
  private func use(_ pool: BufferPool, _ capacity: Int) -> Int {
    var buffer = pool.take(capacity: capacity)
    buffer.append(1)
    let place = address(buffer)
    pool.give(consume buffer)
    return place
  }

  @Test("a buffer given back is the next one taken, also for a slightly smaller body")
  func reuse() {
    let pool = BufferPool(maximumHeldBytes: 1 << 30)
    let first = use(pool, 1_200_000)
    #expect(use(pool, 1_200_000) == first)
    #expect(use(pool, 1_000_000) == first)
    #expect(pool.heldBytes >= 1_200_000)
  }

  @Test("a buffer that somebody still views is let go")
  func shared() {
    let pool = BufferPool(maximumHeldBytes: 1 << 30)
    var buffer = pool.take(capacity: 1 << 20)
    buffer.append(7)
    let view = buffer[...]
    pool.give(buffer)
    #expect(pool.heldBytes == 0)
    #expect(view.first == 7)
  }

  @Test("a large buffer does not serve a small body, and small ones are not pooled")
  func sizes() {
    let pool = BufferPool(maximumHeldBytes: 1 << 30)
    let large = use(pool, 64 << 20)
    #expect(use(pool, 1 << 20) != large)
    _ = use(BufferPool(maximumHeldBytes: 1 << 30), 100)
    let small = BufferPool(maximumHeldBytes: 1 << 30)
    _ = use(small, 1000)
    #expect(small.heldBytes == 0)
  }

  @Test("no more is held than allowed")
  func bound() {
    let pool = BufferPool(maximumHeldBytes: 3 << 20)
    var buffers = (0..<4).map { _ in pool.take(capacity: 1 << 20) }
    while let buffer = buffers.popLast() { pool.give(buffer) }
    #expect(pool.heldBytes <= 3 << 20)
    #expect(pool.heldBytes > 1 << 20)
  }

  @Test("trimming frees what was not needed since the last time, and nothing else")
  func trim() {
    let pool = BufferPool(maximumHeldBytes: 1 << 30)
    var two = [pool.take(capacity: 1 << 20), pool.take(capacity: 1 << 20)]
    while let buffer = two.popLast() { pool.give(buffer) }
    let both = pool.heldBytes
    pool.trim()
    _ = use(pool, 1 << 20)
    pool.trim()
    #expect(pool.heldBytes == both / 2)
    pool.trim()
    #expect(pool.heldBytes == 0)
  }

  @Test(
    "capacities are rounded up by at most a sixteenth, or a page",
    arguments: [65_536, 100_001, 1_200_000, 1 << 26])
  func rounding(_ capacity: Int) {
    let rounded = BufferPool.roundedUp(capacity)
    #expect(rounded >= capacity && rounded <= capacity + max(capacity / 16, 4096))
  }
}

@Suite struct HTTPDateTests {
  @Test(
    "formats RFC 9110's dates, leap days and century years",
    arguments: [
      (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
      (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"), (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
      (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
    ])
  func format(seconds: Int, text: String) {
    #expect(HTTPDate.format(seconds) == text)
  }
}
