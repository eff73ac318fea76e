import Testing
import Transport

@testable import crop

@Suite("Where the server listens")
struct ListeningTests {
  @Test(
    "an entry of the list is a URL with a port, or a socket file",
    arguments: [
      ("http://127.0.0.1:8080", .tcp(host: "127.0.0.1", port: 8080, isTLS: false)),
      ("http://[::]:0", .tcp(host: "::", port: 0, isTLS: false)),
      ("https://crop.example:8443", .tcp(host: "crop.example", port: 8443, isTLS: true)),
      ("unix:/run/crop.sock", .unix(path: "/run/crop.sock")),
      ("proxy+http://[::]:80", .proxied(.tcp(host: "::", port: 80, isTLS: false))),
      ("proxy+https://a:80", .proxied(.tcp(host: "a", port: 80, isTLS: true))),
      ("proxy+unix:/a", .proxied(.unix(path: "/a"))), ("proxy+", nil), ("proxy+proxy+http://a:80", nil),
      ("PROXY+http://a:80", nil), ("http+proxy://a:80", nil), ("proxy+/a", nil),
      ("", nil), ("127.0.0.1:8080", nil), ("http://", nil), ("http://a", nil), ("http://a:", nil),
      ("http://:80", nil), ("http://::1:80", nil), ("http://[a]:80", nil), ("http://[::1:80", nil),
      ("http://a:65536", nil), ("http://a:-1", nil), ("http://a:80/", nil), ("HTTP://a:80", nil),
      ("http://a b:80", nil), ("http://[::1]x:80", nil), ("unix:", nil), ("unix:crop.sock", nil),
      ("unix:/", nil), ("unix:none", nil), ("ftp://a:80", nil),
    ] as [(String, ListenAddress?)])
  func address(text: String, expected: ListenAddress?) {
    let address = ListenAddress(text[...])
    #expect(address == expected)
    if let address { #expect(address.description == text) }
  }

  @Test(
    "a list has no empty entries",
    arguments: [("none", 0), ("http://a:1", 1), ("http://a:1,unix:/b", 2), ("http://a:1,", nil), (",", nil)]
      as [(String, Int?)])
  func list(text: String, count: Int?) {
    #expect(ValueGrammar.addresses.parse(text)?.count == count)
  }

  @Test(
    "permission bits are octal",
    arguments: [
      ("0660", 0o660), ("660", 0o660), ("0000", 0), ("777", 0o777), ("0o660", nil), ("66", nil),
      ("1777", nil),
      ("0680", nil), ("", nil),
    ] as [(String, Int?)])
  func mode(text: String, expected: Int?) {
    #expect(ValueGrammar.fileMode.parse(text) == expected)
    if let expected {
      #expect(ValueGrammar.fileMode.render(expected) == (text.count == 4 ? text : "0" + text))
    }
  }

  @Test("the list takes the place of host and port, the socket file comes beside")
  func addresses() throws {
    var configuration = ServerConfiguration()
    #expect(configuration.listeners(inherited: []) == [.tcp("127.0.0.1", 8080)])
    configuration.unixSocket = "/s"
    configuration.unixSocketMode = 0o600
    #expect(configuration.listeners(inherited: []) == [.tcp("127.0.0.1", 8080), .unix("/s", mode: 0o600)])
    configuration.listen = [.unix(path: "/t")]
    #expect(configuration.listeners(inherited: []) == [.unix("/t", mode: 0o600), .unix("/s", mode: 0o600)])
  }

  @Test("inherited sockets take the place of TCP addresses and not of socket files")
  func inherited() throws {
    var configuration = ServerConfiguration()
    configuration.listen = [.tcp(host: "::", port: 1, isTLS: false), .unix(path: "/t")]
    let listeners = configuration.listeners(inherited: [.inherited(3)])
    #expect(listeners == [.inherited(3), .unix("/t", mode: 0o660)])
  }

  @Test("an entry with proxy+ expects the PROXY protocol, and inherited sockets take its place, too")
  func proxied() throws {
    var configuration = ServerConfiguration()
    configuration.listen = [.proxied(.tcp(host: "a", port: 1, isTLS: true)), .proxied(.unix(path: "/t"))]
    let unix = ListenerConfiguration.unix("/t", mode: 0o660, isProxied: true)
    #expect(configuration.listeners(inherited: []) == [.tcp("a", 1, isTLS: true, isProxied: true), unix])
    #expect(configuration.listeners(inherited: [.inherited(3)]) == [.inherited(3), unix])
    #expect(Healthcheck.livenessURL(of: configuration) == nil)
    let error = #expect(throws: ConfigurationError.self) {
      try ResolvedConfiguration(flags: ["listen": "proxy+http://a:1", "admin-listen": "http://a:1"])
    }
    #expect(error?.problems.first?.contains("is an address for requests already") == true)
  }

  @Test(
    "a list of a source that wins over that of host and port wins with it",
    arguments: [
      (["listen": "unix:/a"], [:], "http: {host: 0.0.0.0, port: 8080}"),
      (["listen": "unix:/a"], ["CROP_HTTP_PORT": "1"], "http: {host: 0.0.0.0}"),
      ([:], ["CROP_LISTEN": "unix:/a"], "http: {port: 8080}"),
    ] as [([String: String], [String: String], String)])
  func precedence(flags: [String: String], environment: [String: String], file: String) throws {
    let resolved = try ResolvedConfiguration(
      flags: flags, environment: environment, file: ConfigurationFile(path: "f", text: file))
    #expect(resolved.configuration.listeners(inherited: []) == [.unix("/a", mode: 0o660)])
  }

  @Test(
    "a list beside a host or port of the same source, or of one that wins over it, is refused",
    arguments: [
      (["listen": "unix:/a", "http.port": "1"], [:], ""),
      ([:], ["CROP_LISTEN": "unix:/a", "CROP_HTTP_HOST": "::"], ""),
      ([:], [:], "{listen: 'unix:/a', http: {port: 1}}"), (["http.port": "1"], [:], "listen: unix:/a"),
    ] as [([String: String], [String: String], String)])
  func contradictions(flags: [String: String], environment: [String: String], file: String) {
    #expect(throws: ConfigurationError.self) {
      try ResolvedConfiguration(
        flags: flags, environment: environment, file: ConfigurationFile(path: "f", text: file))
    }
  }

  @Test("a list beside an explicit host or port is refused, naming both sources")
  func contradiction() throws {
    let error = #expect(throws: ConfigurationError.self) {
      try ResolvedConfiguration(flags: ["http.port": "1"], environment: ["CROP_LISTEN": "http://a:1"])
    }
    #expect(
      error?.problems == [
        "flag --http-port: http.port has no meaning beside listen (environment CROP_LISTEN); give one of them"
      ])
    #expect(throws: Never.self) { try ResolvedConfiguration(flags: ["listen": "none", "http.port": "1"]) }
  }

  @Test("https without a certificate is refused")
  func encryption() {
    let error = #expect(throws: ConfigurationError.self) {
      try ResolvedConfiguration(flags: ["listen": "unix:/a,https://a:1"])
    }
    #expect(error?.problems.first?.contains("asks for https, which needs tls.cert and tls.key") == true)
  }

  @Test("with a certificate the one address is encrypted, a list says it for each of its own")
  func certificate() throws {
    var flags = ["tls.cert": "a.pem", "tls.key": "a.key"]
    let alone = try ResolvedConfiguration(flags: flags).configuration
    #expect(alone.listeners(inherited: []) == [.tcp("127.0.0.1", 8080, isTLS: true)])
    flags["listen"] = "http://a:1,https://a:2"
    let listed = try ResolvedConfiguration(flags: flags).configuration
    #expect(listed.listeners(inherited: []) == [.tcp("a", 1), .tcp("a", 2, isTLS: true)])
  }

  @Test(
    "half of what TLS needs is refused, and so is TLS that no address uses",
    arguments: [
      (["tls.cert": "a"], "flag --tls-cert: tls.cert needs tls.key, which is not given"),
      (["tls.key": "a"], "flag --tls-key: tls.key needs tls.cert, which is not given"),
      (["tls.client-ca": "a"], "flag --tls-client-ca: tls.client-ca needs tls.cert, which is not given"),
      (
        ["tls.cert": "a", "tls.key": "a", "listen": "http://a:1"],
        "flag --listen: http://a:1 has no https:// address for tls.cert to be used at"
      ),
    ])
  func incompleteEncryption(flags: [String: String], problem: String) {
    let error = #expect(throws: ConfigurationError.self) { try ResolvedConfiguration(flags: flags) }
    #expect(error?.problems == [problem])
  }
}

@Suite("Socket activation")
struct SocketActivationTests {
  private func listeners(_ environment: [String: String]) throws(ConfigurationError)
    -> [ListenerConfiguration]
  {
    try SocketActivation.listeners(in: environment, process: 7)
  }

  @Test("sockets begin at descriptor 3; a name with https means TLS")
  func announced() throws {
    #expect(try listeners(["LISTEN_PID": "7", "LISTEN_FDS": "1"]) == [.inherited(3)])
    let names = ["LISTEN_PID": "7", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "crop.socket:crop-https.socket:"]
    #expect(try listeners(names) == [.inherited(3), .inherited(4, isTLS: true), .inherited(5)])
    let proxied = ["LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "proxy:proxy-https"]
    #expect(
      try listeners(proxied) == [.inherited(3, isProxied: true), .inherited(4, isTLS: true, isProxied: true)])
  }

  @Test(
    "sockets for another process, or for none, are not ours",
    arguments: [
      [:], ["LISTEN_FDS": "1"], ["LISTEN_PID": "8", "LISTEN_FDS": "1"], ["LISTEN_PID": "7"],
      ["LISTEN_PID": "x", "LISTEN_FDS": "1"], ["LISTEN_PID": "7", "LISTEN_FDS": "0"],
    ])
  func others(environment: [String: String]) throws {
    #expect(try listeners(environment).isEmpty)
  }

  @Test("a wrong count, and names that do not match it, are refused")
  func refused() {
    #expect(throws: ConfigurationError.self) { try listeners(["LISTEN_PID": "7", "LISTEN_FDS": "x"]) }
    #expect(throws: ConfigurationError.self) {
      try listeners(["LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a:b"])
    }
  }
}
