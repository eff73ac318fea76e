import JSON
import PruningNumerics
import TensorFormats
import Tensors

/// The parameter `axes`: for each tensor a letter per axis, in the order in which they were sent.
///
/// | letter | axis |
/// |---|---|
/// | `b` | images of a batch |
/// | `h` | heads |
/// | `q` | queries, the rows of an attention map |
/// | `n`, in attention also `k` | visual tokens |
/// | `m` | text tokens |
/// | `d` | numbers of a feature |
/// | `c` | components of a position: time, height, width |
/// | `s` | tokens of the whole sequence |
/// | `1` | an axis of extent 1 that says nothing |
///
/// `{"attention": "bhqk"}` is the order in which `transformers` returns attention, `{"position_ids": "cbn"}` that of its
/// multimodal position ids.
struct DeclaredAxes {
  private let orders: [(name: String, letters: [Character])]

  static let none = DeclaredAxes(orders: [])

  private init(orders: [(name: String, letters: [Character])]) { self.orders = orders }

  /// - Throws: at `/axes`, or at a member of it that is no order or names no tensor of the request.
  init(_ parameters: JSONObject, tensors: TensorBundle) throws(Problem) {
    try self.init(parameters)
    for (name, _) in orders where tensors[name] == nil {
      throw Problem(
        .invalidInput, "names no tensor of this request",
        pointer: "/axes" + JSONPointer.token(name))
    }
  }

  /// - Throws: at `/axes`, or at a member of it that is no order.
  init(_ parameters: JSONObject) throws(Problem) {
    guard let value = parameters["axes"] else {
      self = .none
      return
    }
    guard let object = value.objectValue else {
      throw Problem(
        .invalidInput, "must be an object such as {\"attention\": \"bhn\"}, not \(value.kindWithArticle)",
        pointer: "/axes")
    }
    var orders: [(name: String, letters: [Character])] = []
    for member in object.members {
      guard let text = member.value.stringValue, (1...9).contains(text.utf8.count) else {
        throw Problem(
          .invalidInput, "must be a letter for each axis, such as \"bhn\"",
          pointer: "/axes" + JSONPointer.token(member.name))
      }
      orders.append((member.name, Array(text.lowercased())))
    }
    self.orders = orders
  }

  /// Names of the tensors whose axes are declared, and whether one of them counts images.
  var isBatched: [String: Bool] {
    Dictionary(orders.map { ($0.name, $0.letters.contains("b")) }, uniquingKeysWith: { first, _ in first })
  }

  /// The tensors with their axes in the order of ``TensorAxes``, images first.
  func applied(to tensors: TensorBundle, _ limit: StepLimit) throws(Problem) -> TensorBundle {
    var result = tensors
    for (name, letters) in orders {
      switch tensors[name] {
      case .one(let tensor): result[name] = .one(try Self.ordered(tensor, letters, name, limit))
      case .many(let list):
        guard !letters.contains("b") else {
          throw Problem(
            .invalidInput,
            "has 'b', but \(name) is a list with one tensor per image; name the axes of one of them",
            pointer: "/axes/\(name)")
        }
        result[name] = .many(
          try list.map { (tensor) throws(Problem) in try Self.ordered(tensor, letters, name, limit) })
      case nil: break
      }
    }
    return result
  }

  private static func ordered(
    _ tensor: Tensor, _ given: [Character], _ name: String, _ limit: StepLimit
  ) throws(Problem) -> Tensor {
    func wrong(_ message: String) -> Problem {
      Problem(.invalidInput, "\"\(String(given))\" " + message, pointer: "/axes/\(name)")
    }
    let letters = given.map { TensorAxes.isAttention(name) && $0 == "k" ? "n" : $0 }
    let forms = TensorAxes.of(name).orders
    let full = forms.last ?? []
    guard letters.count == tensor.rank else {
      throw wrong("names \(letters.count) axes, but the tensor's shape is \(tensor.shape)")
    }
    // A query of one row is often sent with the axis of its rows.
    let dropped = letters.indices.filter { letters[$0] == "1" || letters[$0] == "q" && !full.contains("q") }
    for axis in dropped where tensor.shape[axis] != 1 {
      throw wrong("has '\(letters[axis])' for an axis of \(tensor.shape[axis]), which must be 1")
    }
    let kept = letters.filter { $0 != "1" && ($0 != "q" || full.contains("q")) }
    guard Set(kept).count == kept.count else { throw wrong("names an axis twice") }
    if let unknown = kept.first(where: { $0 != "b" && !full.contains($0) }) {
      throw wrong("has '\(unknown)', but \(name) has the axes \(String(full)), and b for images")
    }
    if let missing = forms.first?.first(where: { !kept.contains($0) }) {
      throw wrong("lacks '\(missing)': one image's \(name) is \(TensorAxes.of(name).description)")
    }
    let present = full.filter(kept.contains)
    // Without heads, rows of queries still stand behind an axis of heads.
    let order = (kept.contains("b") ? ["b"] : []) + (forms.contains(present) ? present : full)
    let sources = order.map { letters.firstIndex(of: $0) }
    return try tensor.reordered(by: sources, limit)
  }
}

extension TensorAxes {
  /// The letters of every order in the description.
  var orders: [[Character]] {
    description.split(separator: "[").compactMap { part in
      guard let end = part.firstIndex(of: "]") else { return nil }
      return part[..<end].split(separator: ",").map { word in
        let word = word.drop { $0 == " " }
        return switch word {
        case "heads": "h"
        case "queries": "q"
        case "M": "m"
        case "S": "s"
        case "3": "c"
        case "heads d": "o"
        default: word.hasPrefix("N") ? "n" : "d"
        }
      }
    }
  }
}

extension Tensor {
  /// The elements with axis i of the result running over the axis `sources[i]` of this tensor, or, where that is nil, an
  /// axis of extent 1. Axes of this tensor that are not named have extent 1.
  ///
  /// - Complexity: O(1) where the elements stay in place, else O(n).
  func reordered(by sources: [Int?], _ limit: StepLimit) throws(Problem) -> Tensor {
    let extents = sources.map { $0.map { shape[$0] } ?? 1 }
    var strides = [Int](repeating: 1, count: rank)
    for axis in (0..<max(rank - 1, 0)).reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    let moving = sources.compactMap { $0 }.filter { shape[$0] != 1 }
    guard let target = try? Shape(extents) else { preconditionFailure("the same extents in another order") }
    let moved =
      moving == moving.sorted()
      ? bytes : try gathered(extents, sources.map { $0.map { strides[$0] } ?? 0 }, limit)[...]
    do {
      return try Tensor(elementType: elementType, shape: target, bytes: moved)
    } catch {
      preconditionFailure("as many elements as before: \(error)")
    }
  }

  /// The bytes of the elements of `extents` whose steps from one to the next are `strides`, in elements.
  ///
  /// - Parameter limit: asked every quarter of a million copies, a millisecond or so.
  private func gathered(
    _ extents: [Int], _ strides: [Int], _ limit: StepLimit
  ) throws(Problem) -> [UInt8] {
    let width = elementType.byteWidth
    guard elementCount > 0, let last = extents.indices.last else { return Array(bytes) }
    // Where the innermost axis stays innermost, whole rows move at once.
    let run = strides[last] == 1 ? extents[last] : 1
    let outer = run == 1 ? extents.indices : extents.indices.dropLast()
    var failure: PruningError?
    let moved = bytes.withUnsafeBytes { source in
      [UInt8](unsafeUninitializedCapacity: source.count) { target, count in
        var position = [Int](repeating: 0, count: extents.count)
        var offset = 0
        var copies = 0
        for start in stride(from: 0, to: elementCount, by: run) {
          copies += 1
          if copies & (1 << 18 - 1) == 0 {
            do throws(PruningError) {
              try limit.check()
            } catch {
              failure = error
              count = start * width
              return
            }
          }
          let row = UnsafeRawBufferPointer(rebasing: source[(offset * width)..<((offset + run) * width)])
          UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(target)[(start * width)...])
            .copyMemory(from: row)
          for axis in outer.reversed() {
            position[axis] += 1
            offset += strides[axis]
            if position[axis] < extents[axis] { break }
            offset -= strides[axis] * extents[axis]
            position[axis] = 0
          }
        }
        count = source.count
      }
    }
    if let failure { throw Problem(failure) }
    return moved
  }
}

extension TensorDocument {
  /// What tensors take whose axes are brought in another order: at most as much again as they take now.
  var reorderedBytes: Int {
    guard parameters["axes"] != nil else { return 0 }
    return TensorForms.bytes(of: tensors).reduce(0) { $0 + $1.count }
  }
}
