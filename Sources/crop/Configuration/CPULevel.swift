import Kernels

/// Which of the compiled sets of inner loops computes.
enum CPULevel: String, CaseIterable, Sendable {
  /// The fastest that the processor can run.
  case auto
  case baseline, v3, v4
  case neon

  static var available: String { KernelSet.available.map(\.name).joined(separator: ", ") }

  /// Takes effect once, before the first computation.
  ///
  /// - Throws: when this processor has no such level.
  func choose() throws(ConfigurationError) {
    guard self == .auto || KernelSet.choose(rawValue) else {
      throw ConfigurationError([
        "cpu-level \(rawValue) is not available on this processor; it has \(Self.available)"
      ])
    }
  }

  /// What commands other than `serve`, which know no other setting, take from the environment.
  ///
  /// - Throws: when it names no level, or none that this processor has.
  static func choose(from environment: [String: String]) throws(ConfigurationError) {
    let setting = Setting.of(\.cpuLevel)
    guard let text = environment[setting.environmentName] else { return }
    var configuration = ServerConfiguration()
    guard setting.set(text, in: &configuration) else {
      throw ConfigurationError([
        "environment \(setting.environmentName): '\(text)' is not \(setting.expected)"
      ])
    }
    try configuration.cpuLevel.choose()
  }
}
