/// Where a setting's value came from.
enum Origin: Sendable, Equatable, CustomStringConvertible {
  case flag(String)
  case environment(String)
  case file(path: String, key: String)
  /// A variable that a platform sets for whatever it runs.
  case platform(String)
  case byDefault

  /// 0 wins over all others.
  var rank: Int {
    switch self {
    case .flag: 0
    case .environment: 1
    case .file: 2
    case .platform: 3
    case .byDefault: 4
    }
  }

  var description: String {
    switch self {
    case .flag(let name): "flag --\(name)"
    case .environment(let name): "environment \(name)"
    case .file(let path, let key): "file \(path):\(key)"
    case .platform(let name): "environment \(name)"
    case .byDefault: "default"
    }
  }
}
