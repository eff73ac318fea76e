import LibC
import Transport

/// How many processors this process may keep busy, and which limit says so.
///
/// A container with half a processor on a machine of 64 sees all 64. With a thread for each, they would share the half,
/// and the scheduler would stop all of them together whenever it is used up.
struct ProcessorBudget: Sendable, Equatable {
  /// Processors of the machine that are switched on.
  let online: Int
  /// How many of them this process may run on (sched_getaffinity(2)), where the system says so.
  let affinity: Int?
  /// Processor time per time of the tightest control group, where there is a limit.
  let quota: Double?

  /// At least one; a part of a processor counts as a whole one.
  var count: Int {
    let allowed = min(online, affinity ?? online)
    let bounded = quota.map { min(Double(allowed), $0.rounded(.up)) } ?? Double(allowed)
    return max(1, Int(bounded))
  }

  /// `2: 64 online, 8 by affinity, 1.5 by cgroup quota`.
  var explanation: String {
    var limits = ["\(online) online"]
    if let affinity { limits.append("\(affinity) by affinity") }
    limits.append(quota.map { "\(Self.text(of: $0)) by cgroup quota" } ?? "no cgroup quota")
    return "\(count): \(limits.joined(separator: ", "))"
  }

  private static func text(of quota: Double) -> String {
    let hundredths = Int((quota * 100).rounded())
    let fraction = hundredths % 100
    guard fraction > 0 else { return "\(hundredths / 100)" }
    return "\(hundredths / 100)." + (fraction < 10 ? "0" : "")
      + "\(fraction % 10 == 0 ? fraction / 10 : fraction)"
  }

  /// - Parameter root: where /proc and /sys are, for tests.
  static func current(root: String = "") -> ProcessorBudget {
    ProcessorBudget(
      online: max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))), affinity: ThreadSupply.allowedProcessors,
      quota: ControlGroup.processorQuota(ControlGroup.reader(root: root)))
  }
}

/// The limits of the control groups that this process is in, versions 1 and 2 (cgroups(7)).
enum ControlGroup {
  /// The text of a file, nil when it cannot be read.
  typealias Reader = (_ path: String) -> String?

  /// - Parameter root: where /proc and /sys are.
  static func reader(root: String) -> Reader {
    // Whole: where many volumes are mounted, mountinfo has many kilobytes.
    { path in (try? readFile(root + path)).map { String(decoding: $0, as: UTF8.self) } }
  }

  /// Processors' worth of time that the tightest group grants; nil where none has a limit.
  static func processorQuota(_ read: Reader) -> Double? {
    least(of: "cpu", read) { quota(in: $0, $1, read) }
  }

  /// Bytes of memory that the tightest group grants; nil where none has a limit.
  static func memoryLimit(_ read: Reader) -> Int? {
    least(of: "memory", read) { folder, isUnified in
      let text = read(folder + (isUnified ? "/memory.max" : "/memory.limit_in_bytes"))
      // No limit is "max" in version 2 and nearly 2^63 in version 1.
      guard let bytes = text.flatMap({ Int($0.prefix { $0 != "\n" }) }), bytes > 0, bytes < 1 << 60 else {
        return nil
      }
      return bytes
    }
  }

  /// The least of what `limit` finds in the folders of this process's groups and of those around them.
  private static func least<Limit: Comparable>(
    of controller: String, _ read: Reader, _ limit: (_ folder: String, _ isUnified: Bool) -> Limit?
  ) -> Limit? {
    let memberships = (read("/proc/self/cgroup") ?? "").split(separator: "\n").compactMap {
      Membership($0, controller)
    }
    let mounts = (read("/proc/self/mountinfo") ?? "").split(separator: "\n").compactMap {
      Mount($0, controller)
    }
    let limits = memberships.flatMap { membership in
      mounts.filter { $0.isUnified == membership.isUnified }.flatMap { mount in
        mount.folders(of: membership).compactMap { limit($0, membership.isUnified) }
      }
    }
    return limits.min()
  }

  private static func quota(in folder: String, _ isUnified: Bool, _ read: Reader) -> Double? {
    let texts: [String?]
    if isUnified {
      // "max 100000" or "50000 100000": microseconds of time, per period.
      texts = read("\(folder)/cpu.max")?.split { " \n".contains($0) }.map { String($0) } ?? []
    } else {
      texts = [read("\(folder)/cpu.cfs_quota_us"), read("\(folder)/cpu.cfs_period_us")]
    }
    let numbers = texts.map { text in text.flatMap { Int($0.prefix { $0 != "\n" }) } }
    // No limit is "max" in version 2 and -1 in version 1.
    guard numbers.count == 2, let time = numbers[0], let period = numbers[1], time > 0, period > 0 else {
      return nil
    }
    return Double(time) / Double(period)
  }

  /// A line of /proc/self/cgroup: `0::/pod` (version 2) or `4:cpu,cpuacct:/pod` (version 1).
  private struct Membership {
    let isUnified: Bool
    let path: String

    /// - Returns: nil for a hierarchy without the controller.
    init?(_ line: Substring, _ controller: String) {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, parts[2].hasPrefix("/") else { return nil }
      isUnified = parts[1].isEmpty
      guard isUnified || parts[1].split(separator: ",").contains(controller[...]) else { return nil }
      path = String(parts[2])
    }
  }

  /// A line of /proc/self/mountinfo that mounts groups (proc(5)): `... ROOT PLACE options - TYPE source superoptions`.
  private struct Mount {
    let isUnified: Bool
    let root: Substring
    let place: String

    /// - Returns: nil for a hierarchy without the controller.
    init?(_ line: Substring, _ controller: String) {
      let halves = line.split(separator: " - ", maxSplits: 1)
      guard halves.count == 2 else { return nil }
      let (fields, rest) = (halves[0].split(separator: " "), halves[1].split(separator: " "))
      guard fields.count >= 5, rest.count >= 3, rest[0] == "cgroup2" || rest[0] == "cgroup" else {
        return nil
      }
      isUnified = rest[0] == "cgroup2"
      guard isUnified || rest[2].split(separator: ",").contains(controller[...]) else { return nil }
      (root, place) = (fields[3], String(fields[4]))
    }

    /// The group's folder and all above it: each may have a limit of its own.
    func folders(of membership: Membership) -> [String] {
      var path = membership.path[...]
      // A container often sees only its own group, mounted as if it were the root.
      if root != "/", path == root || path.hasPrefix(root + "/") { path = path.dropFirst(root.count) }
      var folders = [place]
      var prefix = place
      for part in path.split(separator: "/") where part != ".." {
        prefix += "/" + part
        folders.append(prefix)
      }
      return folders
    }
  }
}
