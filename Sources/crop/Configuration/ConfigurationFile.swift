import FoundationEssentials
import YAML

/// The settings of one configuration file, still as text.
///
/// YAML, and therefore JSON too: YAML takes in JSON.
struct ConfigurationFile: Sendable, Equatable {
  let path: String
  /// By key: `http.port`.
  let values: [String: String]

  static let maximumByteCount = 1 << 20

  /// - Throws: when the file cannot be read, or for what `init(path:text:)` throws.
  init(path: String) throws(ConfigurationError) {
    let data = try readFile(path, named: "file \(path)", upTo: Self.maximumByteCount)
    guard let text = String(validating: data, as: UTF8.self) else {
      throw ConfigurationError("file \(path): not UTF-8 text")
    }
    try self.init(path: path, text: text)
  }

  /// - Throws: when `text` is not YAML, for unknown keys (with the nearest valid one), for keys given twice,
  ///   and where a value is not a scalar.
  init(path: String, text: String) throws(ConfigurationError) {
    var values: [String: String] = [:]
    var problems: [String] = []
    let root: YAMLNode?
    do throws(YAMLError) {
      root = try YAMLParser.parse(text)
    } catch {
      throw ConfigurationError("file \(path): \(error)")
    }
    if let root, !root.isNull {
      guard let mapping = root.entries else {
        throw ConfigurationError("file \(path): must be a mapping of settings, such as 'http: {port: 8080}'")
      }
      Self.flatten(mapping, under: "", path, &values, &problems)
    }
    guard problems.isEmpty else { throw ConfigurationError(problems) }
    self.path = path
    self.values = values
  }

  private static func flatten(
    _ mapping: [YAMLNode.Entry], under prefix: String, _ path: String, _ values: inout [String: String],
    _ problems: inout [String]
  ) {
    let known = Setting.all.map(\.key)
    for entry in mapping {
      let node = entry.value
      let place = "file \(path):\(entry.key.line)"
      guard let word = entry.key.text else {
        problems.append("\(place): a key must be a word")
        continue
      }
      let key = prefix + word
      if known.contains(key) {
        if let text = node.text, !node.isNull {
          if values.updateValue(text, forKey: key) != nil {
            problems.append("\(place): \(key) is given twice")
          }
        } else if !node.isNull {
          problems.append("\(place): \(key) must be a single value")
        }
      } else if known.contains(where: { $0.hasPrefix(key + ".") }) {
        if let inner = node.entries {
          flatten(inner, under: key + ".", path, &values, &problems)
        } else if !node.isNull {
          problems.append("\(place): \(key) must hold settings, such as '\(key): {port: 8080}'")
        }
      } else {
        problems.append("\(place): unknown key '\(key)'" + suggestion(for: key, among: known))
      }
    }
  }
}
