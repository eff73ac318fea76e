import ArgumentParser
import JSON
import Testing

@testable import crop

@Suite("Configuration precedence and provenance")
struct ConfigurationTests {
  private let file: ConfigurationFile

  init() throws {
    file = try ConfigurationFile(
      path: "a.yaml", text: "http:\n  port: 1\n  host: '::'\nmax-connections: 11\nlog-level: debug\n")
  }

  @Test("without sources, every value is the default and says so")
  func defaults() throws {
    let resolved = try ResolvedConfiguration()
    #expect(resolved.configuration == ServerConfiguration())
    #expect(resolved.entries.map(\.key) == Setting.all.map(\.key))
    #expect(resolved.entries.allSatisfy { $0.origin == .byDefault })
  }

  @Test("flags win over the environment, that over the file, that over the defaults")
  func precedence() throws {
    let resolved = try ResolvedConfiguration(
      flags: ["http.port": "3"],
      environment: ["CROP_HTTP_PORT": "2", "CROP_MAX_CONNECTIONS": "22", "HOME": "/"], file: file)
    #expect(resolved.configuration.httpPort == 3)
    #expect(resolved.configuration.maxConnections == 22)
    #expect(resolved.configuration.httpHost == "::")
    #expect(resolved.configuration.idleTimeout == .seconds(65))
    let origins = Dictionary(uniqueKeysWithValues: resolved.entries.map { ($0.key, $0.origin) })
    #expect(origins["http.port"] == .flag("http-port"))
    #expect(origins["max-connections"] == .environment("CROP_MAX_CONNECTIONS"))
    #expect(origins["http.host"] == .file(path: "a.yaml", key: "http.host"))
    #expect(origins["idle-timeout"] == .byDefault)
  }

  @Test("PORT yields to every setting of the port, and to listen; it is a port or an error")
  func platformPort() throws {
    func port(
      _ flags: [String: String] = [:], _ environment: [String: String], _ file: ConfigurationFile? = nil
    ) throws -> ResolvedConfiguration.Entry? {
      try ResolvedConfiguration(flags: flags, environment: environment, file: file).entries.first {
        $0.key == "http.port"
      }
    }
    #expect(try port([:], ["PORT": "9"])?.origin == .platform("PORT"))
    #expect(try port([:], ["PORT": "9"])?.text == "9")
    #expect(try port(["http.port": "3"], ["PORT": "9"])?.text == "3")
    #expect(try port([:], ["PORT": "9", "CROP_HTTP_PORT": "4"])?.text == "4")
    #expect(try port([:], ["PORT": "9"], file)?.text == "1")
    #expect(try port([:], ["PORT": ""])?.origin == .byDefault)
    #expect(
      try ResolvedConfiguration(flags: ["listen": "http://[::1]:7"], environment: ["PORT": "9"]).configuration
        .listen.count == 1)
    #expect(throws: ConfigurationError.self) { try port([:], ["PORT": "http"]) }
  }

  @Test("flags that users of other servers know mean the same")
  func otherFlags() throws {
    #expect(
      try ServerFlags.parse(["--port", "7", "--host", "::"]).given == ["http.port": "7", "http.host": "::"])
  }

  @Test("every setting can be given by flag, environment variable and file", arguments: Setting.all)
  func everySource(setting: Setting) throws {
    let text = setting.defaultText
    let flags = try ServerFlags.parse(["--\(setting.flag)", text])
    #expect(flags.given == [setting.key: text])
    let fromFlag = try ResolvedConfiguration(flags: flags.given)
    let fromEnvironment = try ResolvedConfiguration(environment: [setting.environmentName: text])
    let fromFile = try ResolvedConfiguration(
      file: ConfigurationFile(path: "c.yaml", text: "\(setting.key): '\(text)'"))
    for (resolved, word) in [(fromFlag, "flag"), (fromEnvironment, "environment"), (fromFile, "file")] {
      let others = resolved.entries.filter { $0.origin != .byDefault }
      #expect(others.map(\.key) == [setting.key])
      #expect(others.first?.origin.description.hasPrefix(word) == true)
      #expect(resolved.configuration == ServerConfiguration())
    }
  }

  @Test("the printed table and JSON show value and origin of every setting")
  func printed() throws {
    let resolved = try ResolvedConfiguration(
      flags: ["log-format": "json"], environment: ["CROP_DRAIN_DELAY": "2m"], file: file)
    let processors = ProcessorBudget(online: 64, affinity: nil, quota: 0.5)
    let lines = resolved.table(for: processors).split(separator: "\n").map {
      $0.split(separator: " ", maxSplits: 2)
    }
    #expect(lines.count == Setting.all.count + 2)
    #expect(
      lines.last?.joined(separator: " ")
        == "threads: event-loops 1, compute-threads 1 (processors: 1: 64 online, 0.5 by cgroup quota)")
    func line(_ key: String) -> String? {
      lines.first { $0[0] == key }.map { "\($0[1]) \($0[2].drop { $0 == " " })" }
    }
    #expect(lines[0][0] == "SETTING")
    #expect(line("drain-delay") == "120s environment CROP_DRAIN_DELAY")
    #expect(line("log-format") == "json flag --log-format")
    #expect(line("http.port") == "1 file a.yaml:http.port")
    #expect(line("max-body-bytes") == "64MiB default")
    #expect(resolved.json(for: processors).names == Setting.all.map(\.key))
    #expect(resolved.json(for: processors)["compute-threads"]?.objectValue?["effective"] == 1)
    #expect(resolved.json(for: processors)["http.port"] == ["value": "1", "from": "file a.yaml:http.port"])
  }

  @Test("a wrong value names its source and what was expected")
  func wrongValues() {
    let error = #expect(throws: ConfigurationError.self) {
      try ResolvedConfiguration(
        flags: ["http.port": "65536"], environment: ["CROP_IDLE_TIMEOUT": "5 s"],
        file: ConfigurationFile(path: "a.yaml", text: "log-format: xml\naccess-log: maybe"))
    }
    #expect(
      error?.problems == [
        "flag --http-port: '65536' is not a whole number from 0 to 65535",
        "environment CROP_IDLE_TIMEOUT: '5 s' is not a duration from 1ms to 86400s, "
          + "such as 5, 5s, 500ms or 2m",
        "file a.yaml:log-format: 'xml' is not one of text, json",
        "file a.yaml:access-log: 'maybe' is not on or off",
      ])
  }

  @Test("a byte budget smaller than one body is refused, naming both sources")
  func contradiction() {
    let error = #expect(throws: ConfigurationError.self) {
      try ResolvedConfiguration(
        flags: ["max-body-bytes": "2GiB"], environment: ["CROP_MAX_IN_FLIGHT_BYTES": "1GiB"])
    }
    #expect(
      error?.problems == [
        "max-body-bytes 2GiB (flag --max-body-bytes) exceeds max-in-flight-bytes 1GiB "
          + "(environment CROP_MAX_IN_FLIGHT_BYTES), so that the largest body could never be accepted"
      ])
  }

  @Test("zero threads mean one per core, event loops at most four")
  func automaticThreads() {
    var configuration = ServerConfiguration()
    #expect(configuration.eventLoopCount(processors: 2) == 2)
    #expect(configuration.eventLoopCount(processors: 64) == 4)
    #expect(configuration.computeThreadCount(processors: 64) == 64)
    configuration.eventLoops = 7
    configuration.computeThreads = 3
    #expect(configuration.eventLoopCount(processors: 2) == 7)
    #expect(configuration.computeThreadCount(processors: 64) == 3)
  }
}

@Suite("Names that do not exist")
struct UnknownNameTests {
  @Test(
    "an environment variable that names no setting is refused with the nearest one",
    arguments: [
      ("CROP_HTPP_PORT", "; did you mean 'CROP_HTTP_PORT'?"),
      ("CROP_MAX_BODY_BYTE", "; did you mean 'CROP_MAX_BODY_BYTES'?"),
      ("CROP_PORT", "; did you mean 'CROP_HTTP_PORT' or 'CROP_REUSE_PORT'?"),
      ("CROP_COLOUR_OF_THE_LOG_LINES", "; 'crop serve --help' lists the valid names"),
    ])
  func environment(name: String, hint: String) {
    let error = #expect(throws: ConfigurationError.self) { try EnvironmentSource([name: "8080"]) }
    #expect(error?.problems == ["environment: unknown variable \(name)\(hint)"])
  }

  @Test(
    "Kubernetes service links are ignored with a warning",
    arguments: [
      ("CROP_PORT", "tcp://10.0.0.7:8080"), ("CROP_SERVICE_HOST", "10.0.0.7"),
      ("CROP_SERVICE_PORT", "8080"), ("CROP_SERVICE_PORT_HTTP", "8080"),
      ("CROP_PORT_8080_TCP", "tcp://10.0.0.7:8080"), ("CROP_PORT_8080_TCP_PROTO", "tcp"),
      ("CROP_PORT_8080_TCP_PORT", "8080"), ("CROP_PORT_8080_TCP_ADDR", "10.0.0.7"),
      ("CROP_HTTP_PORT", "tcp://10.0.0.7:8080"), ("CROP_GPU_PORT_53_UDP_ADDR", "10.0.0.7"),
    ])
  func serviceLinks(name: String, value: String) throws {
    let source = try EnvironmentSource([name: value])
    #expect(source.variables.isEmpty)
    #expect(source.warnings.count == 1)
    #expect(source.warnings.first?.contains("\(name) ignored") == true)
  }

  @Test(
    "a key that a file may not hold is refused with its line and the nearest one",
    arguments: [
      ("http:\n  prot: 1", "file f:2: unknown key 'http.prot'; did you mean 'http.port'?"),
      ("\nmax_body_bytes: 1", "file f:2: unknown key 'max_body_bytes'; did you mean 'max-body-bytes'?"),
      ("port: 1", "file f:1: unknown key 'port'; did you mean 'http.port' or 'reuse-port'?"),
      ("{\"log-levle\": \"info\"}", "file f:1: unknown key 'log-levle'; did you mean 'log-level'?"),
      ("http: 8080", "file f:1: http must hold settings, such as 'http: {port: 8080}'"),
      ("log-level: [info]", "file f:1: log-level must be a single value"),
      ("- 1", "file f: must be a mapping of settings, such as 'http: {port: 8080}'"),
      ("http.port: 1\nhttp: {port: 2}", "file f:2: http.port is given twice"),
    ])
  func file(text: String, problem: String) {
    let error = #expect(throws: ConfigurationError.self) { try ConfigurationFile(path: "f", text: text) }
    #expect(error?.problems == [problem])
  }

  @Test(
    "text that is not YAML is refused with the parser's reason", arguments: ["{", "a: b: c", "a: 1\na: 2"])
  func malformed(text: String) {
    let error = #expect(throws: ConfigurationError.self) { try ConfigurationFile(path: "f", text: text) }
    #expect(error?.problems.first?.hasPrefix("file f: ") == true)
  }

  @Test("a file that does not exist is named")
  func missing() {
    let error = #expect(throws: ConfigurationError.self) { try ConfigurationFile(path: "none/such.yaml") }
    #expect(error?.problems == ["file none/such.yaml: cannot be read (no such file or directory)"])
  }

  @Test(
    "an empty file and a section whose lines are comments set nothing", arguments: ["", "# c\n", "http:\n"])
  func empty(text: String) throws {
    #expect(try ConfigurationFile(path: "f", text: text).values.isEmpty)
  }

  @Test("a mistyped flag is refused with the nearest one")
  func flag() {
    do {
      _ = try Crop.parseAsRoot(["serve", "--htpp-port", "1"])
      Issue.record("accepted")
    } catch {
      #expect(Crop.message(for: error).contains("Did you mean '--http-port'?"))
      #expect(Crop.exitCode(for: error).rawValue == 64)
    }
  }
}

@Suite("How values are written")
struct ValueGrammarTests {
  @Test(
    "durations",
    arguments: [
      ("5", .seconds(5)), ("5s", .seconds(5)), ("500ms", .milliseconds(500)), ("2m", .seconds(120)),
      ("1h", .seconds(3600)), ("0", .zero), ("", nil), ("s", nil), ("-1", nil), ("+1", nil), ("1.5s", nil),
      ("5 s", nil), ("5S", nil), ("5sec", nil), ("3601", nil), ("99999999999999999999", nil),
      ("9999999999999999h", nil), ("٣", nil),
    ] as [(String, Duration?)])
  func durations(text: String, expected: Duration?) {
    #expect(ValueGrammar.duration(.zero...(.seconds(3600))).parse(text) == expected)
  }

  @Test(
    "sizes",
    arguments: [
      ("67108864", 67_108_864), ("64MiB", 67_108_864), ("1KiB", 1024), ("1GiB", 1 << 30), ("512B", 512),
      ("", nil), ("MiB", nil), ("64MB", nil), ("64mib", nil), ("-1", nil), ("1.5MiB", nil), ("1e6", nil),
      ("2GiB", nil), ("9223372036854775807GiB", nil), ("9223372036854775808", nil),
    ] as [(String, Int?)])
  func sizes(text: String, expected: Int?) {
    #expect(ValueGrammar.bytes(0...(1 << 30)).parse(text) == expected)
  }

  @Test("canonical text parses back to the same configuration", arguments: Setting.all)
  func roundTrip(setting: Setting) {
    var configuration = ServerConfiguration()
    #expect(setting.set(setting.defaultText, in: &configuration))
    #expect(configuration == ServerConfiguration())
    #expect(!setting.set("", in: &configuration))
    #expect(!setting.set("no such\0value", in: &configuration))
    #expect(configuration == ServerConfiguration())
  }

  @Test("fractions of a second print as milliseconds")
  func canonicalText() throws {
    let setting = Setting.of(\.headerTimeout)
    var configuration = ServerConfiguration()
    #expect(setting.set("1500ms", in: &configuration))
    #expect(setting.text(in: configuration) == "1500ms")
  }
}
