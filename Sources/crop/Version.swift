/// The version that `crop --version`, the `Server` header and the documentation state.
enum Version {
  static let current = "0.1.0"
}
