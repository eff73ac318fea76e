import COpenSSL

/// The two directions of ciphertext of one session, as OpenSSL sees them: a BIO without a socket.
///
/// OpenSSL's own memory BIOs never give memory back; these queues do, so that idle connections stay small.
final class Wire {
  var received = ByteQueue()
  var outgoing = ByteQueue()

  /// A BIO that reads from ``received`` and writes to ``outgoing``; it must not outlive this object.
  func makeBIO() -> OpaquePointer? {
    guard let bio = BIO_new(OpaquePointer(bitPattern: Self.method)) else { return nil }
    BIO_set_data(bio, Unmanaged.passUnretained(self).toOpaque())
    BIO_set_init(bio, 1)
    return bio
  }

  private static func of(_ bio: OpaquePointer?) -> Wire? {
    BIO_get_data(bio).map { Unmanaged<Wire>.fromOpaque($0).takeUnretainedValue() }
  }

  /// A `BIO_METHOD *`, made once and never freed; 0 when there was no memory for it.
  private static let method: UInt = {
    guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "crop wire") else { return 0 }
    BIO_meth_set_read_ex(method) { bio, target, length, count in
      crop_bio_clear_retry(bio)
      guard let wire = Wire.of(bio), let target, let count else { return 0 }
      let available = min(length, wire.received.count)
      guard available > 0 else {
        // "Later", never "end": what the end of the socket means is decided by whoever reads it.
        crop_bio_set_retry_read(bio)
        return 0
      }
      wire.received.withBytes { bytes in
        UnsafeMutableRawPointer(target).copyMemory(from: bytes.baseAddress!, byteCount: available)
      }
      wire.received.consume(available)
      count.pointee = available
      return 1
    }
    BIO_meth_set_write_ex(method) { bio, source, length, count in
      crop_bio_clear_retry(bio)
      guard let wire = Wire.of(bio), let source, let count else { return 0 }
      wire.outgoing.append(UnsafeRawBufferPointer(start: source, count: length))
      count.pointee = length
      return 1
    }
    BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
    return UInt(bitPattern: method)
  }()
}
