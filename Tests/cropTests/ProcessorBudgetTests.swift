import Testing

@testable import crop

@Suite("Processors that the process may use")
struct ProcessorBudgetTests {
  @Test(
    "the tightest of machine, affinity and quota decides, and a part of a processor counts as one",
    arguments: [
      (64, nil, nil, 64), (64, 8, nil, 8), (64, 64, 0.5, 1), (64, 8, 1.5, 2), (64, 8, 16.0, 8),
      (2, 4, 2.0, 2),
      (1, nil, 0.1, 1),
    ] as [(Int, Int?, Double?, Int)])
  func count(online: Int, affinity: Int?, quota: Double?, expected: Int) {
    let budget = ProcessorBudget(online: online, affinity: affinity, quota: quota)
    #expect(budget.count == expected)
    #expect(budget.explanation.hasPrefix("\(expected): \(online) online"))
  }

  @Test("what was found is said")
  func explanation() {
    let limited = ProcessorBudget(online: 64, affinity: 8, quota: 0.5)
    #expect(limited.explanation == "1: 64 online, 8 by affinity, 0.5 by cgroup quota")
    let free = ProcessorBudget(online: 2, affinity: nil, quota: nil)
    #expect(free.explanation == "2: 2 online, no cgroup quota")
    #expect(ProcessorBudget(online: 9, affinity: 9, quota: 2.25).explanation.contains("2.25 by"))
    #expect(ProcessorBudget(online: 9, affinity: 9, quota: 1.05).explanation.contains("1.05 by"))
  }

  private static let unifiedMount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
  private static let oldMount =
    "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    + "34 32 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

  private static func quota(_ files: [String: String]) -> Double? {
    ControlGroup.processorQuota { files[$0] }
  }

  @Test("version 2: the tightest group from the root to the process's own")
  func unified() {
    var files = [
      "/proc/self/cgroup": "0::/kube/pod\n", "/proc/self/mountinfo": Self.unifiedMount,
      "/sys/fs/cgroup/kube/pod/cpu.max": "max 100000\n",
    ]
    #expect(Self.quota(files) == nil)
    files["/sys/fs/cgroup/kube/cpu.max"] = "150000 100000\n"
    #expect(Self.quota(files) == 1.5)
    files["/sys/fs/cgroup/kube/pod/cpu.max"] = "50000 100000\n"
    #expect(Self.quota(files) == 0.5)
    files["/sys/fs/cgroup/cpu.max"] = "25000 100000\n"
    #expect(Self.quota(files) == 0.25)
  }

  @Test("the mount of control groups is found behind those of many volumes")
  func manyMounts() throws {
    let volumes = (0..<300).map { "\(40 + $0) 23 8:1 / /var/lib/volumes/\($0) rw - ext4 /dev/sda1 rw\n" }
    try withRoot([
      "/proc/self/cgroup": "0::/pod\n", "/proc/self/mountinfo": volumes.joined() + Self.unifiedMount,
      "/sys/fs/cgroup/pod/cpu.max": "50000 100000\n",
    ]) { root in
      #expect(ProcessorBudget.current(root: root).quota == 0.5)
    }
  }

  @Test("version 2 in a container: its own group is all that it sees")
  func container() {
    let files = [
      "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": Self.unifiedMount,
      "/sys/fs/cgroup/cpu.max": "200000 100000\n",
    ]
    #expect(Self.quota(files) == 2)
  }

  @Test("version 1: quota and period, in the group, above it, and mounted as the root of a container")
  func old() {
    var files = [
      "/proc/self/cgroup": "11:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n0::/x\n",
      "/proc/self/mountinfo": Self.oldMount,
      "/sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/memory/docker/a/cpu.cfs_quota_us": "1\n",
      "/sys/fs/cgroup/memory/docker/a/cpu.cfs_period_us": "1\n",
    ]
    #expect(Self.quota(files) == nil)
    files["/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us"] = "300000\n"
    files["/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us"] = "100000\n"
    #expect(Self.quota(files) == 3)
    files["/sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us"] = "50000\n"
    #expect(Self.quota(files) == 0.5)
    files["/proc/self/mountinfo"] =
      "33 32 0:29 /docker/a /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n"
    files["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "70000\n"
    files["/sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "10000\n"
    #expect(Self.quota(files) == 7)
  }

  @Test("files that are missing or strange say nothing")
  func strange() {
    #expect(Self.quota([:]) == nil)
    for text in ["", "max", "x 100000", "0 100000", "100000 0", "-1 100000", "1"] {
      let files = [
        "/proc/self/cgroup": "garbage\n0::/a\n", "/proc/self/mountinfo": "garbage - \n" + Self.unifiedMount,
        "/sys/fs/cgroup/a/cpu.max": text,
      ]
      #expect(Self.quota(files) == nil, "\(text)")
    }
  }
}
