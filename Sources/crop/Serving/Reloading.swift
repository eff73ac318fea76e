import Logging

/// Something that can be read again while the server runs.
struct Reloadable: Sendable {
  /// What the log calls it: `TLS certificate`.
  let name: String
  /// Reads it again and puts it in force as a whole; when it throws, what was in force stays.
  ///
  /// - Returns: what is in force now, for the log.
  let reload: @Sendable () throws -> String
}

/// What SIGHUP does: everything reloadable is read again, one after the other.
struct Reloading: Sendable {
  let entries: [Reloadable]
  let logger: Logger

  /// Each entry has its turn, whatever became of those before it.
  func run() {
    guard !entries.isEmpty else {
      // The signal's default action would end the process, and whatever it is doing, without a drain.
      logger.notice("SIGHUP: nothing to reload; restart to change a setting")
      return
    }
    for entry in entries {
      do {
        let now = try entry.reload()
        logger.notice("reloaded", metadata: ["what": "\(entry.name)", "now": "\(now)"])
      } catch {
        logger.error(
          "not reloaded: the previous version stays in use",
          metadata: ["what": "\(entry.name)", "error": "\(error)"])
      }
    }
  }
}
