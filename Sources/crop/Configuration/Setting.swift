/// One member of the configuration as the outside sees it: its names, what it may be, what it means.
///
/// The flag, the environment variable and the place in a file all follow from `key`.
struct Setting: Sendable {
  /// `http.port`, `max-body-bytes`: a dot starts a nested level in a file.
  let key: String
  let member: any PartialKeyPath<ServerConfiguration> & Sendable
  /// Other flags, which users of other servers know: `port`.
  let otherFlags: [String]
  /// A variable without ``environmentPrefix`` that platforms set; it yields to everything but the default.
  let platformVariable: String?
  /// One sentence: meaning and unit.
  let summary: String
  /// What stands for the value in help: `bytes`, `duration`.
  let valueName: String
  /// What a value must be, to follow "expected": "a whole number from 0 to 65535".
  let expected: String

  private let assign: @Sendable (String, inout ServerConfiguration) -> Bool
  private let render: @Sendable (ServerConfiguration) -> String

  init<Value: Sendable>(
    _ key: String, _ member: any WritableKeyPath<ServerConfiguration, Value> & Sendable,
    _ grammar: ValueGrammar<Value>, _ summary: String, otherFlags: [String] = [],
    platformVariable: String? = nil
  ) {
    self.otherFlags = otherFlags
    self.platformVariable = platformVariable
    self.key = key
    self.member = member
    self.summary = summary
    valueName = grammar.valueName
    expected = grammar.expected
    assign = { text, configuration in
      guard let value = grammar.parse(text) else { return false }
      configuration[keyPath: member] = value
      return true
    }
    render = { grammar.render($0[keyPath: member]) }
  }

  /// The long option without its dashes: `http-port`.
  var flag: String { String(key.map { $0 == "." ? "-" : $0 }) }

  /// `CROP_HTTP_PORT`.
  var environmentName: String {
    Self.environmentPrefix + String(key.uppercased().map { $0 == "." || $0 == "-" ? "_" : $0 })
  }

  static let environmentPrefix = "CROP_"

  /// How the default is written: `8080`, `65s`, `on`.
  var defaultText: String { text(in: ServerConfiguration()) }

  /// The member in canonical form, which parses back to the same value.
  func text(in configuration: ServerConfiguration) -> String { render(configuration) }

  /// Stores the value that `text` spells.
  ///
  /// - Returns: false, with the configuration untouched, when `text` is not what is ``expected``.
  func set(_ text: String, in configuration: inout ServerConfiguration) -> Bool {
    assign(text, &configuration)
  }
}
