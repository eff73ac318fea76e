import LibC

/// How much memory this process may take, as the system says, and how much of that clients may.
struct MemoryLimit: Sendable, Equatable, CustomStringConvertible {
  /// Bytes that the process as a whole may have resident.
  let bytes: Int
  /// What set it, for the log.
  let source: String

  /// What the program takes for itself: code, models aside, threads, allocator.
  private static let ownBytes = 64 << 20

  /// What may be held for clients: the limit less the program's own part, and a quarter for what the allocator keeps.
  ///
  /// - Parameter threads: each has a stack, an arena and small requests that ask for nothing.
  func clientBytes(threads: Int) -> Int {
    max(bytes - bytes / 4 - Self.ownBytes - threads << 20, Self.leastClientBytes)
  }

  /// What the process takes at most when so much is held for clients.
  static func residentBytes(holding clientBytes: Int, threads: Int) -> Int {
    let (sum, overflow) = clientBytes.addingReportingOverflow(ownBytes + threads << 20)
    return overflow ? .max : sum &+ sum / 3
  }

  var description: String { "\(bytes) (\(source))" }

  private static let leastClientBytes = 16 << 20

  /// The least of the control group's limit, those of the groups around it, RLIMIT_AS, RLIMIT_DATA, and half the memory
  /// of the machine.
  ///
  /// - Parameter root: where /proc and /sys are, for tests.
  static func ofThisProcess(root: String = "") -> MemoryLimit {
    var limits = [MemoryLimit(bytes: machineBytes / 2, source: "half of the machine's memory")]
    if let bytes = ControlGroup.memoryLimit(ControlGroup.reader(root: root)) {
      limits.append(MemoryLimit(bytes: bytes, source: "control group"))
    }
    // Address space holds reserves of the allocator and stacks, too.
    if let bytes = resourceLimit(addressSpace) {
      limits.append(MemoryLimit(bytes: bytes / 2, source: "RLIMIT_AS"))
    }
    if let bytes = resourceLimit(dataSize) {
      limits.append(MemoryLimit(bytes: bytes / 2, source: "RLIMIT_DATA"))
    }
    return limits.min { $0.bytes < $1.bytes } ?? limits[0]
  }

  private static var machineBytes: Int {
    Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  private static let addressSpace = __rlimit_resource_t(RLIMIT_AS.rawValue)
  private static let dataSize = __rlimit_resource_t(RLIMIT_DATA.rawValue)

  private static func resourceLimit(_ resource: __rlimit_resource_t) -> Int? {
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0, limit.rlim_cur < UInt64(1) << 60 else { return nil }
    return Int(limit.rlim_cur)
  }
}
