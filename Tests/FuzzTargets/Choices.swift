/// Takes an input apart into choices; one that is used up chooses the first of everything.
struct Choices {
  private let bytes: [UInt8]
  private var next = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func byte() -> Int {
    guard next < bytes.count else { return 0 }
    next += 1
    return Int(bytes[next - 1])
  }

  mutating func pick<Element>(_ list: [Element]) -> Element { list[byte() % list.count] }

  /// One in `count`, never once the input is used up.
  mutating func chance(_ count: Int) -> Bool { byte() % count == 1 }
}
