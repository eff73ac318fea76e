/// The name in `candidates` that a typo most likely meant, or nil when none is close.
///
/// Case does not count: `FastV` means `fastv`. Close is a Levenshtein distance of at most a third of the longer
/// word (and at least 1).
/// - Complexity: O(candidates x length^2).
public func nearestName(to name: String, among candidates: [String]) -> String? {
  let typed = lowercased(name)
  var best: (name: String, distance: Int)?
  for candidate in candidates {
    let word = lowercased(candidate)
    guard typed.count <= 2 * word.count + 4 else { continue }
    let distance = editDistance(typed, word)
    let limit = max(1, max(typed.count, word.count) / 3)
    if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
  }
  return best?.name
}

/// What to tell who wrote an unknown name: the nearest one there is, or else all of them.
public func nameSuggestion(for name: String, among candidates: [String]) -> String {
  nearestName(to: name, among: candidates).map { "did you mean '\($0)'?" }
    ?? (candidates.isEmpty ? "there are none" : "known: \(candidates.joined(separator: ", "))")
}

/// Clients write both sides, since stages name tensors: what is compared is short.
private func lowercased(_ text: String) -> [UInt8] {
  text.utf8.prefix(longestCompared).map { $0 >= 0x41 && $0 <= 0x5a ? $0 | 0x20 : $0 }
}

private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let substituted = diagonal + (x == y ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substituted, row[j] + 1, diagonal + 1)
    }
  }
  return row[b.count]
}

/// In bytes; no name that is known has more.
private let longestCompared = 64
