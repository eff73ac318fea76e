import FoundationEssentials
import TLS
import TLSTesting
import Testing

@Suite("Certificates that cannot be used")
struct ConfigurationErrorTests {
  let folder: CertificateFolder
  let site: CertificateFolder.Issued

  init() throws {
    folder = try CertificateFolder()
    site = try folder.issue("site")
  }

  private func failure(
    certificate: String? = nil, key: String? = nil, clientCA: String? = nil
  ) -> TLSConfigurationError? {
    do throws(TLSConfigurationError) {
      _ = try TLSContext(
        certificatePath: certificate ?? site.certificatePath, keyPath: key ?? site.keyPath,
        clientCAPath: clientCA)
      return nil
    } catch {
      return error
    }
  }

  @Test("A certificate says whose it is and when it ends")
  func summary() throws {
    let context = try TLSContext(certificatePath: site.certificatePath, keyPath: site.keyPath)
    let certificate = context.certificate
    #expect(certificate.subject == "CN=site")
    #expect(certificate.notAfter - certificate.notBefore == 86_460)
    #expect(certificate.notAfterText.hasSuffix("Z") && certificate.notAfterText.count == 20)
    #expect(!context.requiresClientCertificate)
  }

  @Test("A file that is missing is named, with the reason")
  func missing() {
    let path = folder.path("nowhere.pem")
    for failure in [failure(certificate: path), failure(key: path), failure(clientCA: path)] {
      #expect(failure == .unreadable(path: path, reason: "No such file or directory"))
    }
  }

  @Test("A file that holds no certificate is refused")
  func notCertificates() throws {
    let path = try folder.write("not a certificate\n", to: "text.pem")
    for failure in [failure(certificate: path), failure(clientCA: path), failure(certificate: site.keyPath)] {
      guard case .notCertificates = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
    }
  }

  @Test("A chain whose second certificate is damaged is refused as a whole")
  func damagedChain() throws {
    let good = try String(decoding: bytes(of: site.certificatePath), as: UTF8.self)
    let path = try folder.write(
      good + "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", to: "chain.pem")
    guard case .notCertificates(path, _) = failure(certificate: path) else {
      Issue.record("a damaged chain was accepted")
      return
    }
  }

  @Test("A chain with comments between its certificates is accepted, and so is a key in the same file")
  func chain() throws {
    let authority = try folder.issue("authority")
    let leaf = try folder.issue("leaf", by: authority)
    let text = try [leaf.certificatePath, leaf.keyPath, authority.certificatePath]
      .map { try String(decoding: bytes(of: $0), as: UTF8.self) }.joined(separator: "\nsubject=x\n")
    let path = try folder.write(text, to: "bundle.pem")
    #expect(failure(certificate: path, key: path) == nil)
  }

  @Test("A file that holds no key is refused")
  func notAKey() {
    guard case .notAKey(site.certificatePath, _) = failure(key: site.certificatePath) else {
      Issue.record("a certificate was taken for a key")
      return
    }
  }

  @Test("An encrypted key is refused without asking for a password")
  func encrypted() throws {
    let other = try folder.issue("other", password: "secret")
    #expect(failure(key: other.keyPath) == .encryptedKey(path: other.keyPath))
  }

  @Test("A key of another certificate is refused")
  func mismatch() throws {
    let other = try folder.issue("other")
    #expect(
      failure(key: other.keyPath)
        == .keyMismatch(certificate: site.certificatePath, key: other.keyPath))
  }

  @Test("A certificate outside its time is refused, with the date")
  func time() throws {
    let past = try folder.issue("past", validFrom: -200, validUntil: -100)
    guard case .expired(past.certificatePath, let date) = failure(certificate: past.certificatePath) else {
      Issue.record("an expired certificate was accepted")
      return
    }
    #expect(date.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/) != nil)
    let future = try folder.issue("future", validFrom: 100, validUntil: 200)
    guard case .notYetValid(future.certificatePath, _) = failure(certificate: future.certificatePath) else {
      Issue.record("a certificate of the future was accepted")
      return
    }
  }
}

private func bytes(of path: String) throws -> [UInt8] {
  Array(try Data(contentsOf: URL(filePath: path)))
}
