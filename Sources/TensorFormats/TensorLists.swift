import JSON
import Tensors

/// Lists of tensors in formats that only know single ones: `name.0`, `name.1` and so on are the list `name`.
enum TensorLists {
  /// How many names a file or form may have: as many tensors as a list may have, and parameters beside them.
  static let maximumNames = TensorBundle.maximumListCount + 256

  static func bundle(
    _ tensors: [(name: String, tensor: Tensor)]
  ) throws(TensorFormatError) -> TensorBundle {
    var entries: [String: TensorBundle.Entry] = [:]
    var lists: [String: [Int: Tensor]] = [:]
    for (name, tensor) in tensors {
      let earlier: Any? =
        if let (list, index) = listIndex(name) {
          lists[list, default: [:]].updateValue(tensor, forKey: index)
        } else {
          entries.updateValue(.one(tensor), forKey: name)
        }
      // Names of other bytes may be equal to a dictionary.
      guard earlier == nil else {
        throw TensorFormatError(.invalidContent, tensor: name, "there are two tensors '\(name)'")
      }
    }
    // Ascending names, so that of several faults the same one is reported every time.
    for (name, elements) in lists.sorted(by: { $0.key < $1.key }) {
      guard entries[name] == nil else {
        throw TensorFormatError(
          .invalidContent, tensor: name, "'\(name)' is given both as a tensor and as a list '\(name).0', ...")
      }
      var list: [Tensor] = []
      for index in 0..<elements.count {
        guard let element = elements[index] else {
          throw TensorFormatError(
            .invalidContent, tensor: name,
            "a list of \(elements.count) tensors is numbered '\(name).0' to '\(name).\(elements.count - 1)'; "
              + "'\(name).\(index)' is missing")
        }
        list.append(element)
      }
      entries[name] = .many(list)
    }
    return TensorBundle(entries)
  }

  /// The same in the order of `tensors`; a list stands where its first element stood.
  static func ordered(
    _ tensors: [(name: String, tensor: Tensor)]
  ) throws(TensorFormatError) -> [(name: String, entry: TensorBundle.Entry)] {
    let bundle = try bundle(tensors)
    return tensors.compactMap { name, _ in
      let list = listIndex(name)
      guard list?.index ?? 0 == 0 else { return nil }
      let member = list?.list ?? name
      return bundle[member].map { (member, $0) }
    }
  }

  /// `name.12` as `name` and 12; nil for every other name, leading zeros included.
  static func listIndex(_ name: String) -> (list: String, index: Int)? {
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")), dot != name.startIndex else { return nil }
    let digits = name[name.utf8.index(after: dot)...]
    guard !digits.isEmpty, digits.utf8.count <= 9,
      digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      digits.utf8.count == 1 || digits.utf8.first != UInt8(ascii: "0"), let index = Int(digits)
    else { return nil }
    return (String(name[..<dot]), index)
  }
}
