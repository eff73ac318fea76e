import HTTP1
import JSON

/// What a client says of shared memory that it registers: `{"key", "offset", "byte_size"}`.
struct SharedMemoryRegistration {
  private let key: String
  private let offset: Int
  private let byteCount: Int

  init(_ body: [UInt8]) throws(Problem) {
    let object = try JSONObject(ofBody: body[...])
    let offset = object["offset"] ?? 0
    guard let key = object["key"]?.stringValue, let byteCount = object["byte_size"]?.integerValue,
      byteCount > 0,
      let offset = offset.integerValue, offset >= 0
    else {
      throw Problem(
        .malformedBody,
        "a region is an object with key, a name of shm_open, byte_size, above 0, and offset, 0 if absent")
    }
    self.key = key
    self.offset = offset
    self.byteCount = byteCount
  }

  func register(_ name: String, in regions: SharedRegions) throws(Problem) {
    do throws(SharedRegions.RegistrationError) {
      try regions.register(name, key: key, offset: offset, byteCount: byteCount)
    } catch {
      if case .memory(let error) = error { throw Problem(error) }
      throw Problem(.sharedMemory, error.message)
    }
  }

  /// As the status of the extension lists regions.
  static func list(_ regions: [SharedRegions.Region]) -> JSONValue {
    .array(
      regions.map { region in
        [
          "name": .string(region.name), "key": .string(region.key), "offset": .integer(region.offset),
          "byte_size": .integer(region.byteCount),
        ]
      })
  }

  /// The name in a path, where clients escape some characters that names may have (RFC 3986 section 2.1).
  ///
  /// A name that is not escaped as a whole stands for itself.
  static func name(_ segment: String) -> String {
    (try? PercentEncoding.decode(segment.utf8)) ?? segment
  }
}
