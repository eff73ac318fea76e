import HTTP1

// Memory that goes round among the connections of a loop.

extension EventLoop {
  /// A 16 KiB buffer for heads, coming and going with every request, so that idle connections hold none.
  func takeHeadBuffer() -> [UInt8] {
    if let buffer = headBuffers.popLast() { return buffer }
    var buffer: [UInt8] = []
    buffer.reserveCapacity(Self.headReadSize)
    return buffer
  }

  /// Takes a request's body back, wherever its buffer came from.
  func giveBodyBuffer(_ buffer: consuming [UInt8]) {
    if buffer.capacity <= 2 * Self.headReadSize {
      giveHeadBuffer(consume buffer)
    } else {
      pool.give(consume buffer)
    }
  }

  /// An empty response whose buffers have grown to what answers usually need.
  func takeSpareResponse() -> Response {
    var taken = Response(status: 200)
    swap(&taken, &spareResponse)
    return taken
  }

  func giveSpareResponse(_ response: consuming Response) {
    guard response.body.capacity <= 2 * Self.headReadSize else { return }
    response.clear()
    spareResponse = response
  }

  func giveHeadBuffer(_ buffer: consuming [UInt8]) {
    // One that grew for a huge head is not kept, nor one that was made as small as what it holds.
    guard headBuffers.count < 64, (Self.headReadSize...2 * Self.headReadSize).contains(buffer.capacity) else {
      return
    }
    buffer.removeAll(keepingCapacity: true)
    headBuffers.append(buffer)
  }
}
