import COpenSSL
import TLS
import TLSTesting
import Testing

@Suite("Handshakes")
struct HandshakeTests {
  let folder: CertificateFolder
  let authority: CertificateFolder.Issued
  let site: CertificateFolder.Issued

  init() throws {
    folder = try CertificateFolder()
    authority = try folder.issue("authority")
    site = try folder.issue("site", by: authority)
  }

  private func context(clientCA: String? = nil) throws -> TLSContext {
    try TLSContext(certificatePath: site.certificatePath, keyPath: site.keyPath, clientCAPath: clientCA)
  }

  private func options(_ change: (inout MemoryClient.Options) -> Void = { _ in }) -> MemoryClient.Options {
    var options = MemoryClient.Options()
    options.authorityPath = authority.certificatePath
    change(&options)
    return options
  }

  /// The reason a client gives for a handshake that must fail.
  private func refusal(_ options: MemoryClient.Options, clientCA: String? = nil) throws -> String? {
    let conversation = try Conversation(try context(clientCA: clientCA), options)
    do {
      try conversation.shakeHands()
      // TLS 1.3 clients are done before the server has looked at their certificate.
      try conversation.send([1])
      _ = try conversation.client.receive()
      return nil
    } catch let failure as ClientFailure {
      guard case .failed = conversation.serverResult else { return "the server has not failed: \(failure)" }
      #expect(conversation.received.isEmpty)
      return failure.reason
    }
  }

  @Test("TLS 1.2 and 1.3 are spoken, with forward secrecy", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func versions(version: Int32) throws {
    let conversation = try Conversation(try context(), options { $0.maximumVersion = version })
    #expect(conversation.server.isHandshaking)
    try conversation.shakeHands()
    #expect(!conversation.server.isHandshaking)
    #expect(conversation.server.version == (version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3"))
    #expect(conversation.client.cipher.hasPrefix(version == TLS1_2_VERSION ? "ECDHE-ECDSA-" : "TLS_"))
  }

  @Test("Older versions are refused", arguments: [TLS1_VERSION, TLS1_1_VERSION])
  func oldVersions(version: Int32) throws {
    let reason = try refusal(
      options {
        $0.minimumVersion = version
        $0.maximumVersion = version
      })
    #expect(reason == "tlsv1 alert protocol version")
  }

  @Test(
    "Ciphers without forward secrecy or authentication are refused",
    arguments: [
      "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA",
    ])
  func weakCiphers(name: String) throws {
    let reason = try refusal(
      options {
        $0.maximumVersion = TLS1_2_VERSION
        $0.ciphers = name
      })
    #expect(reason == "sslv3 alert handshake failure")
  }

  @Test("A handshake may arrive and leave in pieces of any size", arguments: [1, 2, 3, 5, 7, 64, 500])
  func pieces(step: Int) throws {
    for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
      let conversation = try Conversation(try context(), options { $0.maximumVersion = version })
      try conversation.shakeHands(step: step)
      try conversation.send(Array("hello".utf8), step: step)
      #expect(conversation.received == Array("hello".utf8))
    }
  }

  @Test("A first message may be split at every byte")
  func everySplit() throws {
    let context = try context()
    let length = try { () throws -> Int in
      let client = try MemoryClient(options())
      _ = try client.handshake()
      return client.takeOutput().count
    }()
    for split in 1..<length {
      let conversation = try Conversation(context, options())
      _ = try conversation.client.handshake()
      let hello = conversation.client.takeOutput()
      conversation.feed(hello.prefix(split))
      #expect(conversation.serverResult == .needsInput)
      #expect(conversation.server.outgoing.isEmpty)
      conversation.feed(hello.dropFirst(split))
      try conversation.shakeHands()
      #expect(conversation.client.version == "TLSv1.3")
    }
  }

  @Test("Garbage behind the first byte is refused, and what comes then is not looked at")
  func garbage() throws {
    let conversation = try Conversation(try context())
    conversation.feed([22] + (0..<600).map { UInt8(truncatingIfNeeded: $0 &* 37) })
    guard case .failed(let failure) = conversation.serverResult else {
      Issue.record("accepted: \(conversation.serverResult)")
      return
    }
    #expect(!failure.reason.isEmpty)
    conversation.feed([22, 3, 1])
    #expect(conversation.serverResult == .failed(failure))
    #expect(conversation.server.write(Array("never".utf8)[...]) == 0)
  }

  // MARK: Application protocols

  @Test(
    "The protocol is agreed on when HTTP/1 is among the offers",
    arguments: [
      (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), (["http/1.0", "http/1.1"], "http/1.1"),
      (["http/1.0"], "http/1.0"),
    ])
  func protocols(offers: [String], chosen: String) throws {
    let conversation = try Conversation(try context(), options { $0.protocols = offers })
    try conversation.shakeHands()
    #expect(conversation.server.applicationProtocol == chosen)
  }

  @Test("A client that offers no protocol is served")
  func noProtocols() throws {
    let conversation = try Conversation(try context(), options())
    try conversation.shakeHands()
    #expect(conversation.server.applicationProtocol == nil)
  }

  @Test(
    "A client that offers only other protocols is refused",
    arguments: [["h2"], ["h2", "spdy/3", "http/1.12"]])
  func otherProtocols(offers: [String]) throws {
    #expect(try refusal(options { $0.protocols = offers }) == "tlsv1 alert no application protocol")
  }

  // MARK: Resumption

  @Test(
    "A ticket continues a session, with client certificates too",
    arguments: [
      (TLS1_2_VERSION, false), (TLS1_3_VERSION, false), (TLS1_2_VERSION, true), (TLS1_3_VERSION, true),
    ])
  func resumption(version: Int32, asksForCertificates: Bool) throws {
    let user = try folder.issue("user", by: authority)
    let context = try context(clientCA: asksForCertificates ? authority.certificatePath : nil)
    let options = options {
      $0.maximumVersion = version
      if asksForCertificates {
        $0.certificatePath = user.certificatePath
        $0.keyPath = user.keyPath
      }
    }
    let first = try Conversation(context, options)
    try first.shakeHands()
    try first.send([1])
    _ = try first.client.receive()
    let ticket = try #require(first.client.ticket)
    #expect(ticket.isResumable)
    #expect(!first.server.isResumed)
    let second = try Conversation(context, options, resuming: ticket)
    try second.shakeHands()
    #expect(second.server.isResumed && second.client.isResumed)
    try second.send([2])
    #expect(second.received == [2])
    // Another context has other keys: the ticket is void, and a whole handshake follows.
    let third = try Conversation(
      try self.context(clientCA: asksForCertificates ? authority.certificatePath : nil), options,
      resuming: ticket)
    try third.shakeHands()
    #expect(!third.server.isResumed)
    try third.send([3])
    #expect(third.received == [3])
  }

  // MARK: Client certificates

  @Test(
    "A client with a certificate of the authority is served", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func clientCertificate(version: Int32) throws {
    let user = try folder.issue("user", by: authority)
    let reason = try refusal(
      options {
        $0.maximumVersion = version
        $0.certificatePath = user.certificatePath
        $0.keyPath = user.keyPath
      }, clientCA: authority.certificatePath)
    #expect(reason == nil)
  }

  @Test(
    "A client without a certificate is refused",
    arguments: [
      (TLS1_2_VERSION, "sslv3 alert handshake failure"),
      (TLS1_3_VERSION, "tlsv13 alert certificate required"),
    ])
  func noClientCertificate(version: Int32, reason: String) throws {
    #expect(
      try refusal(options { $0.maximumVersion = version }, clientCA: authority.certificatePath) == reason)
  }

  @Test("A client with a certificate of somebody else, or an expired one, is refused")
  func wrongClientCertificate() throws {
    let stranger = try folder.issue("user", by: try folder.issue("stranger"))
    let reason = try refusal(
      options {
        $0.certificatePath = stranger.certificatePath
        $0.keyPath = stranger.keyPath
      }, clientCA: authority.certificatePath)
    #expect(reason == "tlsv1 alert unknown ca")
    let late = try folder.issue("late", by: authority, validFrom: -200, validUntil: -100)
    let lateReason = try refusal(
      options {
        $0.certificatePath = late.certificatePath
        $0.keyPath = late.keyPath
      }, clientCA: authority.certificatePath)
    #expect(lateReason == "sslv3 alert certificate expired")
  }
}
