public import HTTP1
import Locking

/// Regions of shared memory that clients registered by name, for all requests to use.
///
/// A region is a window on memory under a system-wide key. Nothing of it is mapped or copied here: it costs a file
/// descriptor. Whoever looked a region up may use it until it lets go of it, whether or not it was unregistered meanwhile.
public final class SharedRegions: Sendable {
  public struct Region: Sendable {
    public let name: String
    /// What the system knows the memory by.
    public let key: String
    /// Where the region begins in that memory.
    public let offset: Int
    public let byteCount: Int
    public let extent: SharedExtent
  }

  /// Opens the memory of a key.
  public typealias Opener = @Sendable (_ key: String) throws(SharedMemoryError) -> any SharedMemory

  private let regions = Locked<[String: Region]>([:])
  private let maximumCount: Int
  private let open: Opener?

  public static let maximumNameBytes = 256

  /// - Parameters:
  ///   - maximumCount: of regions at the same time.
  ///   - open: nil where names are not allowed; every call then says so.
  public init(maximumCount: Int = 64, open: Opener? = nil) {
    self.maximumCount = maximumCount
    self.open = open
  }

  public enum RegistrationError: Error, Sendable, Equatable {
    case memory(SharedMemoryError)
    case alreadyRegistered(String)
    case tooMany(limit: Int)
    /// A name is 1 to ``SharedRegions/maximumNameBytes`` visible ASCII characters but quotes and backslashes.
    case badName

    public var message: String {
      switch self {
      case .memory(let error): error.message
      case .alreadyRegistered(let name): "shared memory region '\(name)' already exists; unregister it first"
      case .tooMany(let limit): "there are \(limit) regions, and no more are allowed; unregister some"
      case .badName:
        "a region's name is 1 to \(SharedRegions.maximumNameBytes) visible ASCII characters without quotes and "
          + "backslashes"
      }
    }
  }

  /// Registers `byteCount` bytes from `offset` on of the memory that `key` names.
  ///
  /// - Throws: when the name is taken, or the memory cannot be opened or is smaller.
  public func register(
    _ name: String, key: String, offset: Int, byteCount: Int
  ) throws(RegistrationError) {
    guard Self.isName(name) else { throw .badName }
    // Before anything is opened; looked at again when it is entered.
    try regions.withLock { (regions) throws(RegistrationError) in try check(name, regions) }
    let region: Region
    do throws(SharedMemoryError) {
      let memory = try allowed()(key)
      let whole = SharedExtent(memory, offset: 0, byteCount: try memory.byteCount())
      region = Region(
        name: name, key: key, offset: offset, byteCount: byteCount,
        extent: try whole.part(offset: offset, byteCount: byteCount))
    } catch {
      throw .memory(error)
    }
    try regions.withLock { (regions) throws(RegistrationError) in
      try check(name, regions)
      regions[name] = region
    }
  }

  private func check(_ name: String, _ regions: [String: Region]) throws(RegistrationError) {
    guard regions[name] == nil else { throw .alreadyRegistered(name) }
    guard regions.count < maximumCount else { throw .tooMany(limit: maximumCount) }
  }

  private func allowed() throws(SharedMemoryError) -> Opener {
    guard let open else { throw .notAllowed(setting: "named") }
    return open
  }

  /// Whether names are allowed at all.
  public var isAllowed: Bool { open != nil }

  /// - Throws: when names are not allowed.
  public func region(_ name: String) throws(SharedMemoryError) -> Region? {
    _ = try allowed()
    return regions.withLock { $0[name] }
  }

  /// Forgets a region, if there is one of that name. Requests that use it go on.
  public func unregister(_ name: String) {
    // The last reference closes a descriptor, outside of the lock.
    _ = regions.withLock { $0.removeValue(forKey: name) }
  }

  /// Forgets every region.
  public func unregisterAll() {
    let removed = regions.withLock { regions in
      defer { regions = [:] }
      return regions
    }
    _ = removed
  }

  public var count: Int { regions.withLock { $0.count } }

  /// Every region, ascending by name.
  public var all: [Region] {
    regions.withLock { Array($0.values) }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  private static func isName(_ name: String) -> Bool {
    let bytes = name.utf8
    return !bytes.isEmpty && bytes.count <= maximumNameBytes
      && bytes.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
  }
}
