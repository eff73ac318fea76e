import CLinux
import HTTP1
import LibC

/// A plain stream socket.
final class SocketStream: ByteStream {
  private let socket: FileDescriptor
  private let budget: DescriptorBudget?
  private var descriptors: DescriptorQueue

  /// - Parameters:
  ///   - budget: for descriptors that come with bytes; nil for sockets that carry none.
  ///   - descriptors: those that came with bytes which were read already.
  init(
    _ socket: consuming FileDescriptor, budget: DescriptorBudget? = nil,
    descriptors: DescriptorQueue = DescriptorQueue()
  ) {
    self.socket = socket
    self.budget = budget
    self.descriptors = descriptors
  }

  deinit {
    // With the last descriptor of a connection go those that came over it and were never received.
    if let budget, let copy = duplicate() { budget.closing.close(copy) }
  }

  var descriptor: Int32 { socket.rawValue }

  // What the socket has, readiness tells; what it takes, the kernel has.
  var isHandshaking: Bool { false }
  var hasBufferedInput: Bool { false }
  var hasPendingOutput: Bool { false }
  func flush() -> WriteOutcome { .bytes(0) }

  func read(into buffer: inout [UInt8], atMost limit: Int) -> ReadOutcome {
    let room = min(limit, buffer.capacity - buffer.count)
    precondition(room > 0, "a read needs reserved room")
    var outcome = ReadOutcome.wouldBlock
    // The array's tail is uninitialised memory that recv(2) fills: no zeroing, no copy.
    buffer.append(addingCapacity: room) { tail in
      tail.withUnsafeMutableBufferPointer { pointer, initializedCount in
        while true {
          let count = receive(into: pointer.baseAddress, room)
          if count > 0 {
            initializedCount = count
            outcome = .bytes(count)
          } else if count == 0 {
            outcome = .end
          } else {
            let code = errno
            if code == EINTR { continue }
            outcome =
              code == EAGAIN || code == EWOULDBLOCK ? .wouldBlock : .failed(SystemError("recv", code: code))
          }
          return
        }
      }
    }
    return outcome
  }

  /// recv(2), which also takes over the descriptors that come along. All of them: the kernel would close here what there is no
  /// room for.
  private func receive(into buffer: UnsafeMutablePointer<UInt8>?, _ room: Int) -> Int {
    guard let budget else { return recv(socket.rawValue, buffer, room, 0) }
    guard !budget.closing.isFull else { return 0 }
    return withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(CROP_DESCRIPTORS)) { received in
      var count: Int32 = 0
      let result = crop_receive(socket.rawValue, buffer, room, received.baseAddress, &count)
      if count > 0 { descriptors.append(received.prefix(Int(count)), budget) }
      if count < 0 { descriptors.lose() }
      return result
    }
  }

  func takeDescriptor() throws(SharedMemoryError) -> ReceivedDescriptor? { try descriptors.takeFirst() }

  func takeDescriptors() -> DescriptorQueue {
    defer { descriptors.removeAll() }
    return descriptors
  }

  func dropDescriptors() { if !descriptors.isEmpty { descriptors.removeAll() } }

  func write(_ first: ArraySlice<UInt8>, _ second: ArraySlice<UInt8>) -> WriteOutcome {
    first.withUnsafeBytes { head in
      second.withUnsafeBytes { body in
        while true {
          let count =
            body.isEmpty
            ? send(socket.rawValue, head.baseAddress, head.count, Self.noSignal) : sendBoth(head, body)
          if count >= 0 { return .bytes(count) }
          let code = errno
          if code == EINTR { continue }
          return code == EAGAIN || code == EWOULDBLOCK
            ? .wouldBlock : .failed(SystemError("send", code: code))
        }
      }
    }
  }

  private func sendBoth(_ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer) -> Int {
    withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { parts in
      parts.initializeElement(
        at: 0, to: iovec(iov_base: UnsafeMutableRawPointer(mutating: head.baseAddress), iov_len: head.count))
      parts.initializeElement(
        at: 1, to: iovec(iov_base: UnsafeMutableRawPointer(mutating: body.baseAddress), iov_len: body.count))
      var message = msghdr()
      message.msg_iov = parts.baseAddress
      message.msg_iovlen = 2
      return sendmsg(socket.rawValue, &message, Self.noSignal)
    }
  }

  func duplicate() -> Int32? {
    let copy = fcntl(socket.rawValue, F_DUPFD_CLOEXEC, 0)
    return copy < 0 ? nil : copy
  }

  func finishWriting() { _ = shutdown(socket.rawValue, Int32(SHUT_WR)) }

  private static let noSignal = Int32(MSG_NOSIGNAL)
}
