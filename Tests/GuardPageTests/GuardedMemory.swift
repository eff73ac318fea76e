import Foundation
import Glibc

/// Memory between two pages that nobody may touch: a read or write one byte outside ends the process.
final class GuardedMemory {
  private let start: UnsafeMutableRawPointer
  private let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
  private let byteCount: Int

  struct NoMemory: Error {}

  /// - Parameter byteCount: how much is placed at either end at most; the two places do not overlap.
  init(_ byteCount: Int) throws {
    self.byteCount = (2 * byteCount + pageBytes) / pageBytes * pageBytes
    let total = self.byteCount + 2 * pageBytes
    guard
      let start = mmap(nil, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      start != MAP_FAILED
    else { throw NoMemory() }
    self.start = start
    guard mprotect(start, pageBytes, PROT_NONE) == 0,
      mprotect(start + pageBytes + self.byteCount, pageBytes, PROT_NONE) == 0
    else { throw NoMemory() }
  }

  deinit { munmap(start, byteCount + 2 * pageBytes) }

  /// The last `count` elements: what follows them may not be touched.
  func last<Element>(_ count: Int, of type: Element.Type = Element.self) -> UnsafeMutableBufferPointer<
    Element
  > {
    let bytes = count * MemoryLayout<Element>.stride
    let place = (start + pageBytes + byteCount - bytes).bindMemory(to: type, capacity: count)
    return UnsafeMutableBufferPointer(start: place, count: count)
  }

  /// The first `count` elements: what lies before them may not be touched.
  func first<Element>(_ count: Int, of type: Element.Type = Element.self) -> UnsafeMutableBufferPointer<
    Element
  > {
    let place = (start + pageBytes).bindMemory(to: type, capacity: count)
    return UnsafeMutableBufferPointer(start: place, count: count)
  }

  /// Both places, each holding the elements.
  func bothEnds<Element>(_ elements: [Element]) -> [UnsafeMutableBufferPointer<Element>] {
    let places = [last(elements.count, of: Element.self), first(elements.count, of: Element.self)]
    for place in places { _ = place.initialize(from: elements) }
    return places
  }
}
