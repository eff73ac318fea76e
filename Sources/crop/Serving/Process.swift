import LibC

/// What the system says of this process.
enum Process {
  /// Lets the process open as many descriptors as it may, and returns how many that is.
  static func raiseDescriptorLimit() -> Int {
    var limit = rlimit()
    guard getrlimit(noFile, &limit) == 0 else { return 1024 }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(noFile, &limit)
    _ = getrlimit(noFile, &limit)
    return Int(clamping: limit.rlim_cur)
  }

  static var descriptorLimit: Int {
    var limit = rlimit()
    return getrlimit(noFile, &limit) == 0 ? Int(clamping: limit.rlim_cur) : 0
  }

  static var secondsSince1970: Double {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
  }

  static var residentBytes: Int {
    // Pages: total, resident, shared, ...
    let fields = contents(of: "/proc/self/statm").split(separator: UInt8(ascii: " "))
    guard fields.count > 1, let pages = Int(String(decoding: fields[1], as: UTF8.self)) else { return 0 }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  static var openDescriptorCount: Int {
    guard let directory = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    // Without `.`, `..` and the descriptor of this very listing.
    return count - 3
  }

  static var cpuSeconds: Double {
    var usage = rusage()
    #if canImport(Glibc)
      getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
    #else
      getrusage(RUSAGE_SELF, &usage)
    #endif
    return [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) * 1e-6 }
  }

  /// The first 4 KiB of a file of the system; empty when it cannot be read.
  static func contents(of path: String) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    return [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
      count = max(0, read(descriptor, buffer.baseAddress, buffer.count))
    }
  }

  #if canImport(Glibc)
    private static let noFile = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
  #else
    private static let noFile = RLIMIT_NOFILE
  #endif
}
