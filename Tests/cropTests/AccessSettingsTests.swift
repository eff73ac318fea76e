import FoundationEssentials
import Testing

@testable import crop

@Suite("Settings of access")
struct AccessSettingsTests {
  @Test(
    "Origins are spelt as browsers send them",
    arguments: [
      ("none", []), ("*", ["*"]), ("https://a.example", ["https://a.example"]),
      ("HTTPS://A.Example:443, http://localhost:3000", ["https://a.example", "http://localhost:3000"]),
      ("http://[::1]:80,http://[::1]:8080", ["http://[::1]", "http://[::1]:8080"]),
      ("", nil), ("a.example", nil), ("https://a.example/", nil), ("https://", nil), ("https://a:0", nil),
      ("https://a:x", nil), ("https://a,", nil), ("*,https://a", nil), ("null", nil), ("ftp://a", nil),
      ("https://*.example", nil), ("https://a b", nil), ("https://::1", nil),
    ] as [(String, [String]?)])
  func origins(text: String, expected: [String]?) {
    let parsed = ValueGrammar.origins.parse(text)
    #expect(parsed == expected)
    if let parsed { #expect(ValueGrammar.origins.parse(ValueGrammar.origins.render(parsed)) == parsed) }
  }

  @Test(
    "Attributes of spans are pairs whose values are percent-encoded",
    arguments: [
      ("a=b%2cc, d = e", ["a": "b,c", "d": "e"]), ("none", [:]), ("a=%+f", nil), ("a=%4", nil),
      ("a=%ff", nil),
    ] as [(String, [String: String]?)])
  func attributes(text: String, expected: [String: String]?) {
    let attributes = ValueGrammar<[ResourceAttribute]>.attributes.parse(text)
    #expect(attributes.map { Dictionary(uniqueKeysWithValues: $0.map { ($0.name, $0.value) }) } == expected)
  }

  @Test("A key file is read, read again, and kept when the new one is bad")
  func keyFile() throws {
    let path = FileManager.default.temporaryDirectory
      .appending(path: "crop-keys-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(throws: ConfigurationError(["api-key-file \(path): cannot be read (no such file or directory)"]))
    {
      _ = try KeyFile(path: path)
    }
    func write(_ text: String, mode: Int) throws {
      try Data(text.utf8).write(to: URL(filePath: path))
      try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }
    try write("0123456789abcdef\n", mode: 0o600)
    let file = try KeyFile(path: path)
    #expect(file.warning == nil)
    try write("a 0123456789abcdef\nb fedcba9876543210", mode: 0o644)
    #expect(file.warning?.contains("chmod") == true)
    #expect(try file.reload() == "2 keys")
    try write("a 0123456789abcdef", mode: 0o640)
    #expect(
      readersWarning(ofSecret: path, setting: "tls.key")?.hasPrefix(
        "tls.key \(path) can be read by its group") == true)
    try write("short", mode: 0o600)
    let error = #expect(throws: ConfigurationError.self) { try file.reload() }
    #expect(error?.description.contains("line 1") == true && error?.description.contains("short") == false)
  }
}
