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
    "Accept-Encoding decides whether an answer may be gzip or deflate",
    arguments: [
      (nil, nil), ("", nil), ("gzip", .gzip), ("x-gzip", .gzip), ("GZIP;Q=0.001", .gzip), ("gzip;q=0", nil),
      ("gzip;q=0.000", nil), ("*", .gzip), ("*;q=0", nil), ("*;q=0, gzip", .gzip), ("gzip;q=0, *", nil),
      ("identity", nil), ("identity;q=0", nil), ("identity;q=0, *", .gzip), ("br", nil),
      ("gzip, deflate, br, zstd", .gzip), ("identity;q=1, gzip;q=0.5", nil),
      ("identity;q=0.5, gzip", .gzip), ("gzip ; q=0.5", .gzip), ("gzip;q=2", nil), ("gzip;level=9", nil),
      ("gzip;q=", nil), (";q=1", nil), ("gzip;q=0, x-gzip;q=1", .gzip),
      ("br;q=1.0, gzip;q=0.8, *;q=0.1", .gzip), ("deflate", .deflate), ("Deflate, br", .deflate),
      ("deflate, gzip", .gzip), ("deflate;q=0.9, gzip;q=0.8", .deflate), ("deflate;q=0.5, gzip", .gzip),
      ("gzip;q=0, deflate;q=0.1", .deflate), ("deflate;q=0", nil), ("deflate;q=0, *", .gzip),
      ("deflate;q=0.5, *", .gzip), ("deflate, *;q=0.5", .deflate), ("identity, deflate;q=0.9", nil),
      ("identity;q=0.9, deflate", .deflate),
    ] as [(String?, ContentCoding?)])
  func accepted(value: String?, coding: ContentCoding?) {
    #expect(head("accept-encoding", value.map { [$0] } ?? []).preferredCoding == coding)
  }
}
