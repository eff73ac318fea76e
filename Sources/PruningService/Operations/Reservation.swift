/// Asks for a request's memory before any of it is taken, and again when a later step tells more exactly how much it is.
struct Reservation {
  /// The most that decoding the body took.
  var decodedBytes = 0
  /// How many images of a batch may be computed at the same time.
  var threads = 1
  /// Told how much memory the request holds from now on; throws where there is not as much.
  let hold: (_ bytes: Int) throws(Problem) -> Void

  /// Where no memory is asked for: on the command line, for requests small enough for an event loop, and for parts of a
  /// request that holds it already.
  static var none: Reservation { Reservation { _ throws(Problem) in } }

  /// For one operation.
  func hold(_ need: MemoryNeed) throws(Problem) {
    try hold(need.total(decodedBytes: decodedBytes, threads: threads))
  }
}
