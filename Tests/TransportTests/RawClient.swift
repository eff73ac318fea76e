import Dispatch
import Glibc

/// A blocking TCP client that sends exactly the bytes it is given.
///
/// It blocks a thread of its own, not one of the few that all tests share.
actor RawClient {
  private let executor = QueueExecutor()
  private let descriptor: Int32
  private var received: [UInt8] = []

  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(port: UInt16) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    // A test that waits for an answer which never comes fails instead of hanging.
    var timeout = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let status = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard status == 0 else { throw ClientError(what: "connect", code: errno) }
  }

  deinit { close(descriptor) }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { systemSend(descriptor, $0) }
      guard count > 0 else { throw ClientError(what: "send", code: errno) }
      rest = rest.dropFirst(count)
    }
  }

  /// Half-closes: nothing more will be sent, answers are still read.
  func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Closes with a reset instead of the usual handshake.
  func reset() {
    var option = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    shutdown(descriptor, Int32(SHUT_RDWR))
  }

  struct Reply: Sendable {
    let status: Int
    let head: String
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    var announcesClose: Bool { head.lowercased().contains("\r\nconnection: close") }
  }

  /// The next response, delimited by Content-Length.
  func reply(hasBody: Bool = true) throws -> Reply {
    while true {
      if let end = headEnd {
        let head = String(decoding: received[..<end], as: UTF8.self)
        let status = Int(head.dropFirst(9).prefix(3)) ?? 0
        let length =
          head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
          .flatMap { Int($0.dropFirst("content-length:".count).drop { $0 == " " }) } ?? 0
        let needed = end + (hasBody && status >= 200 ? length : 0)
        if received.count >= needed {
          let body = Array(received[end..<needed])
          received.removeFirst(needed)
          return Reply(status: status, head: head, body: body)
        }
      }
      guard receiveMore() else { throw ClientError(what: "reply after \(received.count) bytes", code: errno) }
    }
  }

  /// True when the server closed and nothing is left to read; false when more bytes came.
  func isClosed() -> Bool { received.isEmpty && !receiveMore() }

  private var headEnd: Int? {
    guard received.count >= 4 else { return nil }
    return (4...received.count).first { received[($0 - 4)..<$0].elementsEqual([13, 10, 13, 10]) }
  }

  private func receiveMore() -> Bool {
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    let count = recv(descriptor, &chunk, chunk.count, 0)
    guard count > 0 else { return false }
    received.append(contentsOf: chunk[..<count])
    return true
  }
}

/// Thrown, not recorded: a test of rejections expects them.
struct ClientError: Error {
  let what: String
  let code: Int32
}

final class QueueExecutor: SerialExecutor {
  private let queue = DispatchQueue(label: "raw-client")

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }
}

private func systemSend(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
  send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
}
