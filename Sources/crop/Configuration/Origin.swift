/// Where a setting's value came from.
enum Origin: Sendable, Equatable, CustomStringConvertible {
  case flag(String)
  case environment(String)
  case file(path: String, key: String)
  case byDefault

  var description: String {
    switch self {
    case .flag(let name): "flag --\(name)"
    case .environment(let name): "environment \(name)"
    case .file(let path, let key): "file \(path):\(key)"
    case .byDefault: "default"
    }
  }
}
