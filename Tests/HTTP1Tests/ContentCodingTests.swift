import HTTP1
import Testing

@Suite("Content codings in a head")
struct ContentCodingTests {
  private func head(_ name: String, _ values: [String]) -> RequestHead {
    var fields = HeaderFields()
    for value in values { fields.append(name: name.utf8, value: value.utf8) }
    return RequestHead(
      method: "POST", target: "/", path: "/", query: nil, version: .http11, fields: fields)
  }

  @Test(
    "One known coding in any case, or none",
    arguments: [
      ([], nil), (["gzip"], .gzip), (["GZip"], .gzip), (["x-gzip"], .gzip), (["deflate"], .deflate),
      (["identity"], nil), ([""], nil), (["identity, gzip"], .gzip), (["identity", "Deflate , "], .deflate),
    ] as [([String], ContentCoding?)])
  func known(values: [String], coding: ContentCoding?) throws {
    #expect(try head("content-encoding", values).contentCoding() == coding)
  }

  @Test(
    "Unknown codings and several are refused by name",
    arguments: [
      (["br"], "br"), (["ZSTD"], "zstd"), (["gzip, gzip"], "gzip, gzip"),
      (["gzip", "deflate"], "gzip, deflate"),
      (["gzip;q=1"], "gzip;q=1"), (["compress"], "compress"), (["gzip, br"], "gzip, br"),
    ])
  func unknown(values: [String], name: String) {
    #expect(throws: UnsupportedContentCoding(name: name)) {
      try head("Content-Encoding", values).contentCoding()
    }
  }

  @Test(
    "Accept-Encoding decides whether an answer may be gzip",
    arguments: [
      (nil, false), ("", false), ("gzip", true), ("x-gzip", true), ("GZIP;Q=0.001", true),
      ("gzip;q=0", false),
      ("gzip;q=0.000", false), ("*", true), ("*;q=0", false), ("*;q=0, gzip", true), ("gzip;q=0, *", false),
      ("identity", false), ("identity;q=0", false), ("identity;q=0, *", true), ("deflate, br", false),
      ("gzip, deflate, br, zstd", true), ("identity;q=1, gzip;q=0.5", false), ("identity;q=0.5, gzip", true),
      ("gzip ; q=0.5", true), ("gzip;q=2", false), ("gzip;level=9", false), ("gzip;q=", false),
      (";q=1", false),
      ("gzip;q=0, x-gzip;q=1", true), ("br;q=1.0, gzip;q=0.8, *;q=0.1", true),
    ] as [(String?, Bool)])
  func accepted(value: String?, isPreferred: Bool) {
    #expect(head("accept-encoding", value.map { [$0] } ?? []).prefers(.gzip) == isPreferred)
  }
}
