import FoundationEssentials
import Testing

@testable import crop

@Suite struct MemoryLimitTests {
  private static let unifiedMount = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"

  @Test("The least limit of the control group and of those around it counts, version 2")
  func unified() throws {
    try withRoot([
      "/proc/self/cgroup": "0::/pods/pod7\n", "/proc/self/mountinfo": Self.unifiedMount,
      "/sys/fs/cgroup/pods/pod7/memory.max": "max\n",
      "/sys/fs/cgroup/pods/memory.max": "268435456\n", "/sys/fs/cgroup/memory.max": "max\n",
    ]) { root in
      let limit = MemoryLimit.ofThisProcess(root: root)
      #expect(limit == MemoryLimit(bytes: 256 << 20, source: "control group"))
    }
  }

  @Test("In a container the group's own path may be the host's: what is mounted at the root counts")
  func container() throws {
    try withRoot([
      "/proc/self/cgroup": "0::/system.slice/docker-12.scope\n",
      "/proc/self/mountinfo": Self.unifiedMount, "/sys/fs/cgroup/memory.max": "134217728\n",
    ]) { root in
      #expect(MemoryLimit.ofThisProcess(root: root).bytes == 128 << 20)
    }
  }

  @Test("Version 1 has a file of another name under the memory controller")
  func controllers() throws {
    try withRoot([
      "/proc/self/cgroup": "5:cpu:/a\n4:memory:/a\n",
      "/proc/self/mountinfo": "33 32 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        + "34 32 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
      "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "201326592\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    ]) { root in
      #expect(MemoryLimit.ofThisProcess(root: root).bytes == 192 << 20)
    }
  }

  @Test("Without a group's limit half the machine's memory counts, or what ulimit says")
  func machine() throws {
    try withRoot([:]) { root in
      let limit = MemoryLimit.ofThisProcess(root: root)
      #expect(limit.bytes > 0 && limit.source != "control group")
    }
  }

  @Test(
    "Clients get what the limit leaves beside the program, and what they hold keeps the process below the limit"
  )
  func shares() {
    for megabytes in [256, 512, 4096, 65_536] {
      for threads in [4, 7, 100] where megabytes > 256 || threads < 50 {
        let limit = MemoryLimit(bytes: megabytes << 20, source: "test")
        let clients = limit.clientBytes(threads: threads)
        #expect(clients > 0 && clients < limit.bytes)
        #expect(MemoryLimit.residentBytes(holding: clients, threads: threads) <= limit.bytes)
      }
    }
  }
}

/// Makes a folder with the files that the kernel shows, for `body` alone.
func withRoot(_ files: [String: String], _ body: (String) throws -> Void) throws {
  let root = FileManager.default.temporaryDirectory.path + "/crop-root-\(UUID().uuidString)"
  defer { try? FileManager.default.removeItem(atPath: root) }
  for (path, text) in files {
    let file = root + path
    try FileManager.default.createDirectory(
      atPath: String(file[..<(file.lastIndex(of: "/") ?? file.startIndex)]),
      withIntermediateDirectories: true)
    try Data(text.utf8).write(to: URL(filePath: file))
  }
  try body(root)
}
