import JSON
import Localization
import PruningNumerics
import TokenPruning

/// The parameters of each image of a request.
///
/// In a batch, a list under `layout`, `region`, `seed` or `previous` has one entry per image, null where an image has none; all
/// else holds for every image.
struct ImageParameters: Sendable {
  private let shared: JSONObject
  private let lists: [(name: String, entries: [JSONValue])]
  /// Of all images that have no list of them.
  private let sharedRegion: RegionMember?

  /// - Parameter batchCount: the number of images of a batch, or nil when the request is about one image.
  init(_ parameters: JSONObject, batchCount: Int?) throws(PruningError) {
    var lists: [(name: String, entries: [JSONValue])] = []
    if let batchCount {
      for name in ["layout", "region", "seed", "previous"] {
        guard let entries = parameters[name]?.arrayValue else { continue }
        guard entries.count == batchCount else {
          throw PruningError(
            at: "/\(name)",
            "a list for a batch has one entry per image: expected \(batchCount), found \(entries.count)")
        }
        lists.append((name, entries))
      }
    }
    self.shared = parameters
    self.lists = lists
    let isListed = lists.contains { $0.name == "region" }
    sharedRegion = isListed ? nil : parameters["region"].map(RegionMember.init)
  }

  /// Whether all images have the same.
  var areShared: Bool { lists.isEmpty }

  subscript(index: Int) -> JSONObject {
    guard !areShared else { return shared }
    var own = shared
    for (name, entries) in lists {
      // Not `? nil :`, which would be a JSON null.
      own[name] = entries[index] == .null ? .none : .some(entries[index])
      // Beside such a list, `localize` is for the images that the list leaves out.
      if name == "region", own[name] != nil { own["localize"] = nil }
    }
    return own
  }

  /// What the caller says of an image's region.
  func region(_ index: Int) -> RegionMember? {
    guard let (_, entries) = lists.first(where: { $0.name == "region" }) else { return sharedRegion }
    return entries[index] == .null ? nil : RegionMember(entries[index])
  }

  /// The same complaint, said of one image of a batch: `image_features` becomes `image_features/2`, and
  /// `/region/box` becomes `/region/2/box` where each image has its own.
  func error(_ error: PruningError, inImage index: Int) -> PruningError {
    // Which image meets the limit of all depends on who computes which.
    switch error.kind {
    case .invalidInput, .unknownMethod: break
    case .workLimit, .abandoned, .overdue: return error
    }
    var pointer = error.pointer
    if !pointer.hasPrefix("/") {
      pointer += "/\(index)"
    } else if let (name, _) = lists.first(where: {
      pointer == "/\($0.name)" || pointer.hasPrefix("/\($0.name)/")
    }) {
      pointer = "/\(name)/\(index)" + pointer.dropFirst(name.utf8.count + 1)
    }
    return PruningError(error.kind, at: pointer, "image \(index): \(error.message)")
  }
}
