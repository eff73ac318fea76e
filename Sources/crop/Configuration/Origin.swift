/// Where a setting's value came from.
enum Origin: Sendable, Equatable, CustomStringConvertible {
  case flag(String)
  case environment(String)
  case file(path: String, key: String)
  case byDefault

  /// 0 wins over all others.
  var rank: Int {
    switch self {
    case .flag: 0
    case .environment: 1
    case .file: 2
    case .byDefault: 3
    }
  }

  var description: String {
    switch self {
    case .flag(let name): "flag --\(name)"
    case .environment(let name): "environment \(name)"
    case .file(let path, let key): "file \(path):\(key)"
    case .byDefault: "default"
    }
  }
}
