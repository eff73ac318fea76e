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

  static func current() -> ProcessorBudget {
    ProcessorBudget(
      online: max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))), affinity: ThreadSupply.allowedProcessors,
      quota: ControlGroup.processorQuota { path in
        let bytes = Process.contents(of: path)
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
      })
  }
}

/// The limits of the control groups that this process is in, versions 1 and 2 (cgroups(7)).
enum ControlGroup {
  /// Processors' worth of time that the tightest group grants; nil where none has a limit.
  ///
  /// - Parameter read: the text of a file, nil when it cannot be read.
  static func processorQuota(_ read: (String) -> String?) -> Double? {
    let memberships = (read("/proc/self/cgroup") ?? "").split(separator: "\n").compactMap(Membership.init)
    let mounts = (read("/proc/self/mountinfo") ?? "").split(separator: "\n").compactMap(Mount.init)
    let quotas = memberships.flatMap { membership in
      mounts.filter { $0.serves(membership) }.flatMap { mount in
        mount.folders(of: membership).compactMap { quota(in: $0, membership.isUnified, read) }
      }
    }
    return quotas.min()
  }

  private static func quota(in folder: String, _ isUnified: Bool, _ read: (String) -> String?) -> Double? {
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

    init?(_ line: Substring) {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, parts[2].hasPrefix("/") else { return nil }
      isUnified = parts[1].isEmpty
      guard isUnified || parts[1].split(separator: ",").contains("cpu") else { return nil }
      path = String(parts[2])
    }
  }

  /// A line of /proc/self/mountinfo that mounts groups (proc(5)): `... ROOT PLACE options - TYPE source superoptions`.
  private struct Mount {
    let isUnified: Bool
    let controllers: [Substring]
    let root: Substring
    let place: String

    init?(_ line: Substring) {
      let halves = line.split(separator: " - ", maxSplits: 1)
      guard halves.count == 2 else { return nil }
      let (fields, rest) = (halves[0].split(separator: " "), halves[1].split(separator: " "))
      guard fields.count >= 5, rest.count >= 3, rest[0] == "cgroup2" || rest[0] == "cgroup" else {
        return nil
      }
      isUnified = rest[0] == "cgroup2"
      controllers = rest[2].split(separator: ",")
      (root, place) = (fields[3], String(fields[4]))
    }

    func serves(_ membership: Membership) -> Bool {
      membership.isUnified == isUnified && (isUnified || controllers.contains("cpu"))
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
