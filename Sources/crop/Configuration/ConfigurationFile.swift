import FoundationEssentials
import Yams

/// The settings of one configuration file, still as text.
///
/// YAML, and therefore JSON too: every JSON document is a YAML document.
struct ConfigurationFile: Sendable, Equatable {
  let path: String
  /// By key: `http.port`.
  let values: [String: String]

  static let maximumByteCount = 1 << 20

  /// - Throws: when the file cannot be read, or for what `init(path:text:)` throws.
  init(path: String) throws(ConfigurationError) {
    let data: [UInt8]
    do throws(FileFailure) {
      data = try readFile(path, upTo: Self.maximumByteCount)
    } catch {
      throw ConfigurationError("file \(path): cannot be read (\(error))")
    }
    guard data.count <= Self.maximumByteCount else {
      throw ConfigurationError("file \(path): larger than \(Self.maximumByteCount) bytes")
    }
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
    if let root = try Self.compose(text, path: path), !root.isBlank {
      guard let mapping = root.mapping else {
        throw ConfigurationError("file \(path): must be a mapping of settings, such as 'http: {port: 8080}'")
      }
      Self.flatten(mapping, under: "", path, &values, &problems)
    }
    guard problems.isEmpty else { throw ConfigurationError(problems) }
    self.path = path
    self.values = values
  }

  private static func compose(_ text: String, path: String) throws(ConfigurationError) -> Node? {
    do {
      return try Yams.compose(yaml: text)
    } catch {
      throw ConfigurationError("file \(path): " + "\(error)".replacing("\n", with: " "))
    }
  }

  private static func flatten(
    _ mapping: Node.Mapping, under prefix: String, _ path: String, _ values: inout [String: String],
    _ problems: inout [String]
  ) {
    let known = Setting.all.map(\.key)
    for (name, node) in mapping {
      let place = "file \(path)" + (name.mark.map { ":\($0.line)" } ?? "")
      guard let word = name.scalar?.string else {
        problems.append("\(place): a key must be a word")
        continue
      }
      let key = prefix + word
      if known.contains(key) {
        if let scalar = node.scalar, !node.isBlank {
          if values.updateValue(scalar.string, forKey: key) != nil {
            problems.append("\(place): \(key) is given twice")
          }
        } else if !node.isBlank {
          problems.append("\(place): \(key) must be a single value")
        }
      } else if known.contains(where: { $0.hasPrefix(key + ".") }) {
        if let inner = node.mapping {
          flatten(inner, under: key + ".", path, &values, &problems)
        } else if !node.isBlank {
          problems.append("\(place): \(key) must hold settings, such as '\(key): {port: 8080}'")
        }
      } else {
        problems.append("\(place): unknown key '\(key)'" + suggestion(for: key, among: known))
      }
    }
  }
}

extension Node {
  /// An empty document, or a key whose settings are all commented out.
  fileprivate var isBlank: Bool { self == Node("", Tag(.null)) || (scalar?.style == .plain && null != nil) }
}
