import EmbeddedFiles

/// A file that was built into the program, so that nothing is read from disk to answer with it.
struct EmbeddedFile: Sendable {
  let name: String
  let bytes: [UInt8]

  /// - Parameter name: the last component of its path in the repository.
  /// - Returns: a copy, or nil when there is no such file.
  init?(_ name: String) {
    guard let file = Self.entry(name) else { return nil }
    self.name = name
    bytes = Array(UnsafeBufferPointer(start: file.bytes, count: file.count))
  }

  static let names: [String] = entries.map { String(cString: $0.name) }

  /// By the extension of its name.
  static func mediaType(of name: String) -> String {
    switch name.split(separator: ".").last {
    case "html": "text/html; charset=utf-8"
    case "css": "text/css; charset=utf-8"
    case "js": "text/javascript; charset=utf-8"
    case "json": "application/json"
    case "yaml": "application/yaml"
    case "jpg": "image/jpeg"
    case "safetensors": "application/x-safetensors"
    default: "application/octet-stream"
    }
  }

  private static var entries: UnsafeBufferPointer<crop_embedded_file> {
    var count = 0
    let start = crop_embedded_files(&count)
    return UnsafeBufferPointer(start: start, count: count)
  }

  private static func entry(_ name: String) -> crop_embedded_file? {
    names.firstIndex(of: name).map { entries[$0] }
  }
}
