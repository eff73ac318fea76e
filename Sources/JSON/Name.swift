/// A member name that a client wrote, compared and hashed as its bytes.
///
/// Swift's `String` compares and hashes by canonical equivalence, which normalises both sides each time; names of
/// members are equal when their UTF-8 is (RFC 8259 section 8.3).
struct Name: Hashable, Sendable {
  /// The longest that is read, in bytes; real ones have a few dozen.
  static let maximumBytes = 256

  let text: String

  init(_ text: String) { self.text = text }

  static func == (left: Name, right: Name) -> Bool { areSame(left.text, right.text) }

  static func areSame(_ left: String, _ right: String) -> Bool {
    left.utf8.count == right.utf8.count && left.utf8.elementsEqual(right.utf8)
  }

  func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}
