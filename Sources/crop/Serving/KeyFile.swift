import FoundationEssentials
import LibC
import PruningService

/// The file that the setting `api-key-file` names, and the keys that were last read from it.
struct KeyFile: Sendable {
  let path: String
  let keys: APIKeys

  /// 1,000 keys with their names, and room for comments.
  static let maximumByteCount = 1 << 20

  /// - Throws: when the file cannot be read or holds anything but keys; the message never holds a key.
  init(path: String) throws(ConfigurationError) {
    self.path = path
    keys = APIKeys(try Self.table(in: path))
  }

  /// Reads the file again and puts its keys in force as a whole; when it throws, the old ones stay.
  ///
  /// - Returns: what is in force now, for the log.
  func reload() throws -> String {
    let table = try Self.table(in: path)
    keys.replace(with: table)
    return Self.countText(table)
  }

  /// Its entry in what SIGHUP does.
  var reloading: Reloadable { Reloadable(name: "API keys", reload: reload) }

  var warning: String? { readersWarning(ofSecret: path, setting: "api-key-file") }

  private static func table(in path: String) throws(ConfigurationError) -> APIKeyTable {
    let data = try readFile(path, named: "api-key-file \(path)", upTo: maximumByteCount)
    do {
      return try APIKeyTable(parsing: data)
    } catch {
      throw ConfigurationError("api-key-file \(path): \(error)")
    }
  }

  private static func countText(_ table: APIKeyTable) -> String {
    table.count == 1 ? "1 key" : "\(table.count) keys"
  }
}

/// What should be said about who else can read a file with a secret; nil when only its owner can.
func readersWarning(ofSecret path: String, setting: String) -> String? {
  var status = stat()
  guard stat(path, &status) == 0 else { return nil }
  let mode = UInt32(status.st_mode)
  let others = mode & 0o004 != 0 ? "every user of this machine" : mode & 0o040 != 0 ? "its group" : nil
  return others.map { "\(setting) \(path) can be read by \($0); chmod 600 makes it private" }
}
