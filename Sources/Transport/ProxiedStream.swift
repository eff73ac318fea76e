import HTTP1
import LibC

/// A stream whose first bytes are a balancer's, and say for whom it speaks: ``ProxyHeader``.
///
/// Header bytes are looked at before they are taken (MSG_PEEK), so that none of the client's is: behind the header begins
/// a request or a TLS handshake, which reads from the socket itself.
final class ProxiedStream: ByteStream {
  private let stream: any ByteStream
  private let isTLS: Bool
  private var header: [UInt8] = []
  private var isHeaderWhole = false
  private(set) var announcedPeer: String?

  init(_ stream: any ByteStream, isTLS: Bool) {
    self.stream = stream
    self.isTLS = isTLS
  }

  var descriptor: Int32 { stream.descriptor }
  var isHandshaking: Bool { !isHeaderWhole || stream.isHandshaking }
  var isEncrypted: Bool { stream.isEncrypted }
  var hasBufferedInput: Bool { stream.hasBufferedInput }
  var hasPendingOutput: Bool { stream.hasPendingOutput }

  func flush() -> WriteOutcome { stream.flush() }
  func write(_ first: ArraySlice<UInt8>, _ second: ArraySlice<UInt8>) -> WriteOutcome {
    stream.write(first, second)
  }
  func duplicate() -> Int32? { stream.duplicate() }
  func takeDescriptor() throws(SharedMemoryError) -> ReceivedDescriptor? { try stream.takeDescriptor() }
  func takeDescriptors() -> DescriptorQueue { stream.takeDescriptors() }
  func dropDescriptors() { stream.dropDescriptors() }
  func finishWriting() { stream.finishWriting() }

  func read(into buffer: inout [UInt8], atMost limit: Int) -> ReadOutcome {
    while !isHeaderWhole {
      if let outcome = readHeader() { return outcome }
    }
    return stream.read(into: &buffer, atMost: limit)
  }

  /// - Returns: nil when more of the header was taken.
  private func readHeader() -> ReadOutcome? {
    let old = header.count
    let descriptor = descriptor
    let room = ProxyHeader.maximumByteCount - old
    var count = 0
    header.append(addingCapacity: room) { tail in
      tail.withUnsafeMutableBufferPointer { pointer, initializedCount in
        repeat {
          count = recv(descriptor, pointer.baseAddress, room, Int32(MSG_PEEK))
        } while count < 0 && errno == EINTR
        initializedCount = max(count, 0)
      }
    }
    guard count > 0 else {
      if count == 0 { return .end }
      let code = errno
      return code == EAGAIN || code == EWOULDBLOCK ? .wouldBlock : .failed(SystemError("recv", code: code))
    }
    do throws(FramingError) {
      switch try ProxyHeader.parse(header) {
      case .incomplete: return take(count)
      case .complete(let found, let byteCount):
        isHeaderWhole = true
        announcedPeer = found.source?.description
        header = []
        return take(byteCount - old)
      }
    } catch {
      header = []
      // The peer of a TLS listener would take an answer in the clear for a broken handshake.
      return isTLS ? .failed(SystemError("PROXY protocol", code: EPROTO)) : .notProxied(error)
    }
  }

  /// Takes bytes that were looked at before: they are there.
  private func take(_ count: Int) -> ReadOutcome? {
    let descriptor = descriptor
    let taken = withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) {
      recv(descriptor, $0.baseAddress, count, 0)
    }
    return taken == count ? nil : .failed(SystemError("recv", code: taken < 0 ? errno : EPROTO))
  }
}
