import Dispatch
import Glibc
import Locking
import Testing

@testable import crop

@Suite("Health check")
struct HealthcheckTests {
  @Test(
    "an address is split into host, port and target",
    arguments: [
      ("http://127.0.0.1:8080/readyz", "127.0.0.1", 8080, "/readyz", "127.0.0.1:8080"),
      ("http://[::1]:9/livez?x=1", "::1", 9, "/livez?x=1", "[::1]:9"),
      ("http://crop", "crop", 80, "/", "crop:80"), ("http://crop:81?a#b", "crop", 81, "/?a", "crop:81"),
    ] as [(String, String, UInt16, String, String)])
  func address(text: String, host: String, port: UInt16, target: String, authority: String) throws {
    let url = try #require(EndpointURL(text))
    #expect(url.peer == .tcp(host: host, port: port))
    #expect(url.target == target)
    #expect(url.authority == authority)
  }

  @Test(
    "a socket file is asked whether the server lives, or for the path behind a colon",
    arguments: [
      ("unix:/run/crop.sock", "/run/crop.sock", "/livez"), ("unix:/a:b", "/a:b", "/livez"),
      ("unix:/run/crop.sock:/readyz?x", "/run/crop.sock", "/readyz?x"), ("unix:/a:/x/", "/a", "/x/"),
    ])
  func socketFile(text: String, path: String, target: String) throws {
    let url = try #require(EndpointURL(text))
    #expect(url.peer == .unix(path: path))
    #expect(url.target == target)
    #expect(url.authority == "localhost")
  }

  @Test(
    "other addresses are refused",
    arguments: [
      "", "crop", "ftp://crop", "https://", "http://", "http://:80", "http://a:0", "http://a:65536",
      "http://a:+1",
      "http://a:", "http://[::1", "http://[::1]x", "http://a/\r\nX: y", "http://u@a/", "http://é/",
      "unix:", "unix:crop.sock", "unix:/a b",
    ])
  func refusedAddress(text: String) {
    #expect(EndpointURL(text) == nil)
  }

  @Test("the default address follows the configuration, and wildcard hosts become loopback")
  func defaultAddress() {
    var configuration = ServerConfiguration()
    #expect(Healthcheck.livenessURL(of: configuration) == "http://127.0.0.1:8080/livez")
    configuration.httpHost = "0.0.0.0"
    configuration.httpPort = 81
    #expect(Healthcheck.livenessURL(of: configuration) == "http://127.0.0.1:81/livez")
    configuration.httpHost = "::"
    #expect(Healthcheck.livenessURL(of: configuration) == "http://[::1]:81/livez")
    configuration.httpPort = 0
    #expect(Healthcheck.livenessURL(of: configuration) == nil)
    configuration.unixSocket = "/run/crop.sock"
    #expect(Healthcheck.livenessURL(of: configuration) == "unix:/run/crop.sock:/livez")
    configuration.listen = [.unix(path: "/a"), .tcp(host: "fd00::7", port: 82, isTLS: false)]
    #expect(Healthcheck.livenessURL(of: configuration) == "http://[fd00::7]:82/livez")
    configuration.listen = [.tcp(host: "::", port: 83, isTLS: true), .unix(path: "/a")]
    #expect(Healthcheck.livenessURL(of: configuration) == "unix:/a:/livez")
    configuration.listen.removeLast()
    configuration.unixSocket = nil
    #expect(Healthcheck.livenessURL(of: configuration) == "https://[::1]:83/livez")
    configuration.adminListen = [.tcp(host: "127.0.0.1", port: 84, isTLS: false)]
    #expect(Healthcheck.livenessURL(of: configuration) == "http://127.0.0.1:84/livez")
  }

  @Test("the status of the answer is read, even when it comes byte by byte", arguments: [200, 503])
  func status(code: Int) throws {
    let listener = try LoopbackListener()
    let request = listener.answerOne(Array("HTTP/1.1 \(code) x\r\nContent-Length: 0\r\n\r\n".utf8))
    let url = try #require(EndpointURL("http://127.0.0.1:\(listener.port)/readyz"))
    #expect(try HealthProbe.status(of: url, within: .seconds(20)) == code)
    #expect(request.text.hasPrefix("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:\(listener.port)\r\n"))
  }

  @Test("an answer that is not HTTP, and a connection closed early, are failures")
  func strangeAnswers() throws {
    for (answer, reason) in [
      ("SSH-2.0-OpenSSH_9", "the response is not HTTP/1"), ("HTTP", "connection closed without a response"),
    ] {
      let listener = try LoopbackListener()
      _ = listener.answerOne(Array(answer.utf8))
      let url = try #require(EndpointURL("http://127.0.0.1:\(listener.port)/"))
      let failure = #expect(throws: HealthProbe.Failure.self) {
        try HealthProbe.status(of: url, within: .seconds(20))
      }
      #expect(failure?.description == reason)
    }
  }

  @Test("a server that accepts and stays silent is given up on in time")
  func silence() throws {
    let listener = try LoopbackListener()
    let url = try #require(EndpointURL("http://127.0.0.1:\(listener.port)/"))
    let failure = #expect(throws: HealthProbe.Failure.self) {
      try HealthProbe.status(of: url, within: .milliseconds(30))
    }
    #expect(failure?.description == "no response in time")
  }

  @Test("a closed port is reported as refused")
  func refused() throws {
    let port = try LoopbackListener().port
    let url = try #require(EndpointURL("http://127.0.0.1:\(port)/"))
    let failure = #expect(throws: HealthProbe.Failure.self) {
      try HealthProbe.status(of: url, within: .seconds(20))
    }
    #expect(failure?.description == "connection refused")
  }
}

/// A listening socket on a port the system picked, closed with the object.
private final class LoopbackListener: Sendable {
  let port: UInt16
  private let descriptor: Int32

  struct SystemFailure: Error { let code: Int32 }

  init() throws {
    let kind = Int32(SOCK_STREAM.rawValue)
    let descriptor = socket(AF_INET, kind, 0)
    self.descriptor = descriptor
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafeMutableBytes(of: &address) { bytes in
      bytes.withMemoryRebound(to: sockaddr.self) { address in
        guard bind(descriptor, address.baseAddress, length) == 0, listen(descriptor, 8) == 0,
          getsockname(descriptor, address.baseAddress, &length) == 0
        else { return errno }
        return 0
      }
    }
    guard code == 0 else { throw SystemFailure(code: code) }
    port = UInt16(bigEndian: address.sin_port)
  }

  deinit { close(descriptor) }

  /// Accepts one connection on a thread of its own, reads a head, writes `bytes` one at a time, closes.
  ///
  /// - Returns: the head, there as soon as the peer has any part of its answer.
  func answerOne(_ bytes: [UInt8]) -> ReceivedHead {
    let head = ReceivedHead()
    DispatchQueue(label: "loopback").async { [descriptor] in
      let connection = accept(descriptor, nil, nil)
      var request: [UInt8] = []
      var byte: UInt8 = 0
      while !request.suffix(4).elementsEqual("\r\n\r\n".utf8), recv(connection, &byte, 1, 0) == 1 {
        request.append(byte)
      }
      head.set(String(decoding: request, as: UTF8.self))
      for byte in bytes {
        var byte = byte
        // The probe hangs up after the status line; a failed write is then as it should be.
        guard send(connection, &byte, 1, noSignal) == 1 else { break }
      }
      close(connection)
    }
    return head
  }
}

private final class ReceivedHead: Sendable {
  private let storage = Locked("")

  var text: String { storage.withLock { $0 } }

  func set(_ text: String) { storage.withLock { $0 = text } }
}

private let noSignal = Int32(MSG_NOSIGNAL)
