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
    getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
    return [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) * 1e-6 }
  }

  private static let noFile = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
}
