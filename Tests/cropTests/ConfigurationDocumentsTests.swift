import ArgumentParser
import FoundationEssentials
import Testing

@testable import crop

@Suite("Help, files and reference agree with the table of settings")
struct ConfigurationDocumentsTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  private static func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: root.appending(path: path)), as: UTF8.self)
  }

  @Test("no two settings share a key, a flag or an environment variable")
  func uniqueNames() {
    #expect(Set(Setting.all.map(\.key)).count == Setting.all.count)
    #expect(Set(Setting.all.map(\.flag)).count == Setting.all.count)
    #expect(Set(Setting.all.map(\.environmentName)).count == Setting.all.count)
  }

  @Test("names are spelt as documented")
  func spelling() {
    #expect(Setting.of(\.httpPort).flag == "http-port")
    #expect(Setting.of(\.httpPort).environmentName == "CROP_HTTP_PORT")
    #expect(Setting.of(\.maxInFlightBytes).flag == "max-in-flight-bytes")
    #expect(Setting.of(\.maxInFlightBytes).environmentName == "CROP_MAX_IN_FLIGHT_BYTES")
  }

  @Test("every flag stands in the help with its variable and default", arguments: Setting.all)
  func help(setting: Setting) {
    let help = Crop.helpMessage(for: Serve.self, columns: 400)
    #expect(help.contains("--\(setting.flag) <\(setting.valueName)>"))
    #expect(help.contains("(\(setting.environmentName); default: \(setting.defaultText))"))
  }

  @Test("crop.yaml sets every setting, and differs from the defaults only in the drain delay")
  func localFile() throws {
    let file = try ConfigurationFile(path: "config/crop.yaml", text: Self.text("config/crop.yaml"))
    #expect(file.values.keys.sorted() == Setting.all.map(\.key).sorted())
    var expected = ServerConfiguration()
    expected.drainDelay = .zero
    #expect(try ResolvedConfiguration(file: file).configuration == expected)
  }

  @Test("crop.yaml states every setting's default in a comment above it", arguments: Setting.all)
  func localFileComments(setting: Setting) throws {
    let lines = try Self.text("config/crop.yaml").split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.drop { $0 == " " } }
    let word = setting.key.split(separator: ".").last.map { String($0) } ?? setting.key
    let line = try #require(lines.firstIndex { $0.hasPrefix("\(word):") })
    let comment = lines[..<line].reversed().prefix { $0.hasPrefix("#") }.joined(separator: "\n")
    #expect((comment + "\n").contains("Default: \(setting.defaultText)\n"))
  }

  @Test("production.yaml is valid, listens on all interfaces and logs JSON")
  func productionFile() throws {
    let file = try ConfigurationFile(path: "p", text: Self.text("config/production.yaml"))
    let configuration = try ResolvedConfiguration(file: file).configuration
    #expect(configuration.httpHost == "0.0.0.0")
    #expect(configuration.logFormat == .json)
    #expect(configuration.drainDelay > .zero)
  }

  @Test("a JSON file is read like a YAML one, tabs included")
  func jsonFile() throws {
    let text = "{\n\t\"http\": {\"port\": 9000, \"host\": \"::1\"},\n\t\"access-log\": false\n}\n"
    let configuration = try ResolvedConfiguration(file: ConfigurationFile(path: "c.json", text: text))
      .configuration
    #expect(configuration.httpPort == 9000)
    #expect(configuration.httpHost == "::1")
    #expect(!configuration.accessLog)
  }

  @Test("config/README.md holds exactly the table")
  func reference() throws {
    let readme = try Self.text("config/README.md")
    let rows = Setting.all.map { setting in
      "| `\(setting.key)` | `--\(setting.flag)` | `\(setting.environmentName)` | `\(setting.defaultText)` "
        + "| \(setting.expected) | \(setting.summary) |\n"
    }
    let header =
      "| key in a file | flag | environment | default | value | meaning |\n|---|---|---|---|---|---|\n"
    let table = header + rows.joined()
    let hasTable = readme.hasSuffix(table)
    #expect(hasTable, "config/README.md must end with:\n\(table)")
  }
}
