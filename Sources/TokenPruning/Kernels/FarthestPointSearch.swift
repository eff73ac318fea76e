/// Max-min diversity by cosine distance: repeatedly the row farthest from everything selected so far.
///
/// The choice is that of binary64 arithmetic on the given rows, whatever kernels are in use: binary32
/// similarities only rule rows out, and rows closer together than their error bound are compared by
/// ``Kernels/preciseDot``. Evaluation is lazy, a row is compared with newer selections only while it could
/// still be the farthest.
/// - Complexity: at most O(T N D) for T selections; no N x N matrix. The first pick is O(N^2 D) at worst,
///   and far less where neighbouring tokens resemble each other.
struct FarthestPointSearch {
  private let features: Matrix
  private let norms: [Double]
  private let unit: Matrix
  private let kernels: Kernels
  private let slack: Float

  private(set) var selected: [Int] = []
  private var heap: BoundHeap
  /// Per row: the largest similarity to the first `seen` of `selected`, in binary32 and in binary64.
  private var nearest: [Float]
  private var seen: [Int]
  private var exactNearest: [Double]
  private var exactSeen: [Int]
  /// Zero rows have no direction: they are chosen only when nothing else is left.
  private var leftovers: [Int]

  /// - Parameters:
  ///   - given: rows selected already; zero rows among them repel nothing.
  ///   - candidates: rows to choose from, ascending, none of them in `given`.
  init(_ features: Matrix, among candidates: [Int], given: [Int] = [], kernels: Kernels = .active) {
    self.features = features
    self.kernels = kernels
    norms = features.norms(kernels)
    unit = features.normalized(norms: norms, kernels)
    slack = 2 * Kernels.tolerance(columns: features.columns)
    nearest = Array(repeating: -.infinity, count: features.rows)
    seen = Array(repeating: 0, count: features.rows)
    exactNearest = Array(repeating: -.infinity, count: features.rows)
    exactSeen = Array(repeating: 0, count: features.rows)
    let norms = norms
    leftovers = candidates.filter { norms[$0] == 0 }
    selected = given.filter { norms[$0] > 0 }
    heap = BoundHeap(
      candidates.filter { norms[$0] > 0 }.map { BoundHeap.Entry(bound: .infinity, index: $0) })
  }

  /// The next `count` rows, in the order of choice.
  ///
  /// - Precondition: that many candidates are left.
  mutating func next(_ count: Int) -> [Int] {
    (0..<count).map { _ in
      if selected.isEmpty, let first = mostIsolated() {
        selected.append(first)
        return first
      }
      if let farthest = popFarthest() {
        selected.append(farthest)
        return farthest
      }
      precondition(!leftovers.isEmpty, "more rows asked for than there are candidates")
      return leftovers.removeFirst()
    }
  }

  private mutating func popFarthest() -> Int? {
    var contenders: [BoundHeap.Entry] = []
    var threshold = -Double.infinity
    while let top = heap.first, top.bound >= threshold {
      if seen[top.index] < selected.count {
        refresh(top.index)
        heap.lowerFirst(to: -Double(nearest[top.index]))
        continue
      }
      if contenders.isEmpty { threshold = top.bound - Double(slack) }
      contenders.append(top)
      _ = heap.popFirst()
    }
    guard var best = contenders.first else { return nil }
    if contenders.count > 1 {
      for contender in contenders { refreshExactly(contender.index) }
      for contender in contenders.dropFirst() where isFarther(contender.index, than: best.index) {
        best = contender
      }
      for contender in contenders where contender.index != best.index { heap.insert(contender) }
    }
    return best.index
  }

  private func isFarther(_ a: Int, than b: Int) -> Bool {
    exactNearest[a] != exactNearest[b] ? exactNearest[a] < exactNearest[b] : a < b
  }

  private mutating func refresh(_ row: Int) {
    let columns = unit.columns
    var index = seen[row]
    var largest = nearest[row]
    unit.values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      let own = base + row * columns
      func other(_ position: Int) -> UnsafePointer<Float> { base + selected[position] * columns }
      while index + 4 <= selected.count {
        let four = kernels.dotFour(
          own, other(index), other(index + 1), other(index + 2), other(index + 3), columns)
        largest = max(largest, four.max())
        index += 4
      }
      while index < selected.count {
        largest = max(largest, kernels.dot(own, other(index), columns))
        index += 1
      }
    }
    nearest[row] = largest
    seen[row] = index
  }

  private mutating func refreshExactly(_ row: Int) {
    for index in exactSeen[row]..<selected.count {
      exactNearest[row] = max(exactNearest[row], exactSimilarity(row, selected[index]))
    }
    exactSeen[row] = selected.count
  }

  private func exactSimilarity(_ a: Int, _ b: Int) -> Double {
    features.values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return 0 }
      let columns = features.columns
      return kernels.preciseDot(base + a * columns, base + b * columns, columns) / (norms[a] * norms[b])
    }
  }

  // MARK: The first pick

  /// Takes out the candidate whose nearest other candidate is farthest (DivPrune's start).
  ///
  /// A candidate is abandoned as soon as one neighbour is nearer than the best candidate's nearest. The scan
  /// goes outwards from the candidate, because neighbouring tokens are the most similar.
  private mutating func mostIsolated() -> Int? {
    var remaining: [Int] = []
    while let entry = heap.popFirst() { remaining.append(entry.index) }
    guard var choice = remaining.first else { return nil }
    if remaining.count > 1 {
      var best = Float.infinity
      var survivors: [(index: Int, similarity: Float)] = []
      for position in remaining.indices {
        guard let similarity = nearestSimilarity(of: position, in: remaining, abandonAbove: best + slack)
        else { continue }
        best = min(best, similarity)
        survivors.append((remaining[position], similarity))
      }
      let contenders = survivors.filter { $0.similarity <= best + slack }.map(\.index)
      choice = contenders.count == 1 ? contenders[0] : mostIsolatedExactly(contenders, in: remaining)
    }
    heap = BoundHeap(
      remaining.filter { $0 != choice }.map { BoundHeap.Entry(bound: .infinity, index: $0) })
    return choice
  }

  private func nearestSimilarity(of position: Int, in rows: [Int], abandonAbove limit: Float) -> Float? {
    let columns = unit.columns
    return unit.values.withUnsafeBufferPointer { buffer -> Float? in
      guard let base = buffer.baseAddress else { return nil }
      let own = base + rows[position] * columns
      var largest = -Float.infinity
      var below = position - 1
      var above = position + 1
      while below >= 0 || above < rows.count {
        var four = SIMD4(repeating: position)
        for lane in 0..<4 {
          // From the nearer side; when one side is exhausted, all four come from the other.
          if above < rows.count, below < 0 || above - position <= position - below {
            four[lane] = above
            above += 1
          } else if below >= 0 {
            four[lane] = below
            below -= 1
          } else {
            four[lane] = four[lane - 1]
          }
        }
        let similarities = kernels.dotFour(
          own, base + rows[four[0]] * columns, base + rows[four[1]] * columns,
          base + rows[four[2]] * columns, base + rows[four[3]] * columns, columns)
        largest = max(largest, similarities.max())
        if largest > limit { return nil }
      }
      return largest
    }
  }

  private func mostIsolatedExactly(_ contenders: [Int], in rows: [Int]) -> Int {
    var choice = contenders[0]
    var best = Double.infinity
    for contender in contenders {
      var largest = -Double.infinity
      for row in rows where row != contender {
        largest = max(largest, exactSimilarity(contender, row))
        // Contenders ascend, so an equal one loses to the earlier.
        if largest >= best { break }
      }
      if largest < best {
        best = largest
        choice = contender
      }
    }
    return choice
  }
}
