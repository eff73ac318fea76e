/// What a request body carries as tensors: each name holds one tensor, or a list of them (a ragged batch).
public struct TensorBundle: Sendable, Equatable {
  public enum Entry: Sendable, Equatable {
    case one(Tensor)
    case many([Tensor])
  }

  /// The most tensors of one list: each takes memory of its own, even one without elements.
  public static let maximumListCount = 4096

  public private(set) var entries: [String: Entry]

  public init(_ entries: [String: Entry] = [:]) { self.entries = entries }

  public subscript(name: String) -> Entry? {
    get { entries[name] }
    set { entries[name] = newValue }
  }

  /// Ascending, so that whatever walks a bundle does it in the same order every time.
  public var names: [String] { entries.keys.sorted() }
}
