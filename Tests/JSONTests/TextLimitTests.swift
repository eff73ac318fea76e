import Testing

@testable import JSON

/// Texts that Swift's own comparison would take quadratic time for are rejected where they are read.
@Suite struct TextLimitTests {
  private func parse(_ text: String) throws(JSONError) -> JSONValue {
    try JSONValue.parse(Array(text.utf8)[...])
  }

  private func marks(_ count: Int) -> String {
    String(String.UnicodeScalarView((0..<count).map { $0 % 2 == 0 ? "\u{301}" : "\u{323}" }))
  }

  @Test("a string has at most 30 combining marks in a row, raw or escaped")
  func runs() throws {
    #expect(try parse("\"a\(marks(30))b\(marks(30))\"") == .string("a\(marks(30))b\(marks(30))"))
    for text in [
      "\"a\(marks(31))\"", "{\"\(marks(40))\":1}", "[\"\(marks(20_000))\"]",
      "\"" + String(repeating: "\\u0301\\u0323", count: 16) + "\"",
    ] {
      let error = #expect(throws: JSONError.self) { try parse(text) }
      #expect(error?.message.contains("combining marks") == true)
    }
    // Starters by class, which decompose into marks.
    #expect(!StreamSafeText.accepts(String(repeating: "\u{f73}", count: 31)))
    #expect(StreamSafeText.accepts(String(repeating: "é한국어𝔘", count: 1_000)))
  }

  @Test("a member name has at most 256 bytes")
  func length() throws {
    let longest = String(repeating: "é", count: 128)
    #expect(try parse("{\"\(longest)\":1}").objectValue?[longest] == 1)
    #expect(throws: JSONError.self) { try parse("{\"\(longest)a\":1}") }
  }

  @Test("an excerpt has at most 60 scalars, though they make up fewer characters")
  func excerpts() {
    #expect("a\u{7}b".excerpt == "a b")
    let joiners = "a" + String(repeating: "\u{200d}", count: 59)
    #expect(joiners.count == 1 && joiners.excerpt == joiners)
    #expect((joiners + "\u{200d}").excerpt.unicodeScalars.count == 63)
  }

  @Test("names are the same when their bytes are, and not when Unicode calls them equivalent")
  func bytes() throws {
    let object = try parse("{\"\u{e9}\":1,\"e\u{301}\":2}").objectValue
    #expect(object?.members.count == 2)
    #expect(object?["\u{e9}"] == 1 && object?["e\u{301}"] == 2)
    #expect(throws: JSONError.self) { try parse("{\"e\u{301}\":1,\"e\u{301}\":2}") }
    let many = (0..<40).map { "\"e\u{301}\($0)\":\($0),\"\u{e9}\($0)\":\($0)" }.joined(separator: ",")
    #expect(try parse("[\"\u{e9}\"]") != parse("[\"e\u{301}\"]"))
    #expect(try parse("{\"\u{e9}\":1}") != parse("{\"e\u{301}\":1}"))
    #expect(try parse("{\(many)}").objectValue?.members.count == 80)
    #expect(throws: JSONError.self) { try parse("{\(many),\"\u{e9}7\":0}") }
  }
}
