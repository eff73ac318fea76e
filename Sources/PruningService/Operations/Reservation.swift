/// How a request holds memory: each time it knows better how much it needs, and before it takes any of it.
struct Reservation {
  /// The most that decoding the body took.
  var decodedBytes = 0
  /// How many images of a batch may be computed at the same time.
  var threads = 1
  /// Told how much memory the request holds from now on; throws where there is not as much.
  let hold: (_ bytes: Int) throws(Problem) -> Void

  /// For requests of nobody else's memory.
  static var none: Reservation { Reservation { _ throws(Problem) in } }

  /// For one operation.
  func hold(_ need: MemoryNeed) throws(Problem) {
    try hold(need.total(decodedBytes: decodedBytes, threads: threads))
  }
}
