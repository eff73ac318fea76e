import HTTP1

/// The request being received or answered on a connection.
struct ExchangeProgress {
  var start: Int64 = 0
  var head: RequestHead?
  /// What is counted for the head and all that was made of it; nil before that was asked.
  var headBytes: Int?
  var framing: BodyFraming = .none
  var acceptance: Acceptance?
  var body: [UInt8] = []
  /// Where the body is read from, unless it comes over the connection.
  var source: SharedBody?
  var bodyByteCount = 0
  /// What the body's buffer was given before its bytes came.
  var roomBytes = 0
  var reservation = Reservation()
  /// The request while it waits for a compute thread or is computed.
  var job: ComputePool.Job?
  var status = 0
  var annotations: [Response.Field] = []
  var receiveNanoseconds: Int64 = 0
  var respondNanoseconds: Int64 = 0
  var writeStart: Int64 = 0

  mutating func takeBody() -> [UInt8] {
    var taken: [UInt8] = []
    swap(&taken, &body)
    return taken
  }
}
