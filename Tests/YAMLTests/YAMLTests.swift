import Testing
import YAML
import Yams

@Suite("YAML, as settings files use it")
struct YAMLTests {
  /// A node without lines: null is told from text, and keys are in the order of the document.
  private indirect enum Shape: Equatable {
    case null, text(String), mapping([Shape]), sequence([Shape])
  }

  private func shape(_ node: YAMLNode) -> Shape {
    switch node.content {
    case .scalar(let text, _): node.isNull ? .null : .text(text)
    case .mapping(let entries): .mapping(entries.flatMap { [shape($0.key), shape($0.value)] })
    case .sequence(let items): .sequence(items.map(shape))
    }
  }

  private func shape(_ node: Node) -> Shape {
    switch node {
    case .scalar(let scalar):
      scalar.style == .plain && node.null != nil && node.tag != Tag(.str) ? .null : .text(scalar.string)
    case .mapping(let mapping): .mapping(mapping.flatMap { [shape($0.key), shape($0.value)] })
    case .sequence(let sequence): .sequence(sequence.map(shape))
    case .alias: .null
    }
  }

  private static let documents = [
    "a: 1\nb: {c: d, e: [1, 'x', \"y\\n\"]}\n", "- a\n- b: c\n  d: e\n-\n  - x\n- - y\n  - z\n",
    "a: |\n  x\n   y\n\n  z\nb: >-\n  x\n  y\n\n  z\nc: >+\n  q\n\n\nd: 1",
    "a: >\n  x\n    y\n  z\n\n\n  w\n",
    "a: |2\n    x\n   y\n", "a: &x 1\nb: *x\nc: &y\n  d: e\nf: *y\n", "# c\n---\na: b # c\n...\n",
    "%YAML 1.1\n---\nx: y\n",
    "a: b\n  c\n\n  d\ne: 'x\n  y\n\n  z'\nf: \"x\\\n   y\"\n",
    "a:\n- 1\n- 2\nb:\n  - 3\nc: ~\nd:\ne: null\nf: ''\n",
    "a: !!str 5\nb: !!int 5\nc: ! x\n", "{\"a\":1,\"b\":[true,null,{\"c\":\"\\u00e9 \\x41\\t\"}]}",
    "{a: 1,\n b: 2, # c\n c, d: }\n",
    "a: http://x:80,unix:/b\nb: x#y\nc: -1\nd: a:b\ne: ?x\n", "\"a\": b\n'c d': e\nf g: h i\n",
    "a: [b, c: d, {e: f}]\n",
    "a: 'it''s'\nb: \"\\\"\\\\\\/\"\n", "a:   b   \n\n\nc:\n\n    d:  e\n", "x\n", "'x'", "[a, b]",
    "a: b\r\nc:\r\n  d: e\r\n", "\u{feff}a: b\n",
  ]

  @Test("documents are read as libyaml reads them", arguments: documents)
  func agreement(text: String) throws {
    let ours = try #require(try YAMLParser.parse(text))
    #expect(shape(ours) == shape(try #require(try Yams.compose(yaml: text))))
  }

  @Test("and so is every one of them with a few bytes changed that both accept")
  func mutations() {
    var state: UInt64 = 1
    func random(_ count: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(count))
    }
    let pieces = [
      " ", "  ", "\n", ":", ": ", "- ", "-", "#", " #", "'", "\"", "{", "}", "[", "]", ",", "a", "~", "|",
      ">", "&a ", "*a", "\\", "...",
      "---", "\n  ", "\n- ", "null", "%", "!", "é",
    ]
    var compared = 0
    for _ in 0..<4000 {
      var scalars = Array(Self.documents[random(Self.documents.count)].unicodeScalars)
      for _ in 0...random(2) {
        let place = random(scalars.count + 1)
        if random(2) == 0 || place == scalars.count {
          scalars.insert(contentsOf: pieces[random(pieces.count)].unicodeScalars, at: place)
        } else {
          scalars.remove(at: place)
        }
      }
      var text = ""
      text.unicodeScalars.append(contentsOf: scalars)
      // Tags are skipped here and resolved there; a byte order mark is one at the beginning alone.
      guard !text.contains("!"), !text.dropFirst().contains("\u{feff}") else { continue }
      guard let ours = try? YAMLParser.parse(text), let theirs = try? Yams.compose(yaml: text) else {
        continue
      }
      compared += 1
      #expect(shape(ours) == shape(theirs), "\(text.debugDescription)")
    }
    #expect(compared > 800)
  }

  @Test("a document of comments alone is none", arguments: ["", "\n", "# c\n", "---\n", "--- # c\n...\n"])
  func empty(text: String) throws { #expect(try YAMLParser.parse(text)?.isNull ?? true) }

  @Test("nodes know the line that they begin in")
  func lines() throws {
    let root = try #require(try YAMLParser.parse("# c\na:\n  b: 1\n\n  c:\n    - x\n"))
    let inner = try #require(root.entries?.first?.value)
    #expect(root.line == 2 && inner.entries?.map(\.key.line) == [3, 5])
  }

  @Test(
    "what is not YAML is refused with its line and what is wrong",
    arguments: [
      ("{", 1, "not closed"), ("a: b: c", 1, "second ': '"), ("a: 1\na: 2", 2, "twice"),
      ("a: 'b", 1, "not closed"),
      ("a: \"\\q\"", 1, "escape"), ("a: \"\\u12\"", 1, "4 hexadecimal digits"),
      ("a: \"\\ud800\"", 1, "no character"), ("a\n b: c", 2, "second"),
      ("a: 1\n  b: 2", 2, "': '"), ("a:\n\tb: 1", 2, "tab"), ("? a\n: b", 1, "explicit keys"),
      ("a: *b", 1, "no anchor"),
      ("a: 1\n---\nb: 2", 2, "one document"), ("[a, b", 1, "not closed"), ("{a: 1 b: 2}", 1, "':"),
      ("a: @b", 1, "quotation marks"),
      ("a: 1\n- b", 2, "list item"), ("a: - b", 1, "line of its own"),
      ("{[a]: b}", 1, "a key must be a word"), ("a: |x\n  b", 1, "block scalar"),
      ("a: ]", 1, "unexpected"),
    ])
  func refused(text: String, line: Int, words: String) {
    let error = #expect(throws: YAMLError.self) { try YAMLParser.parse(text) }
    #expect(
      error?.line == line && error?.reason.contains(words) == true, "\(error.map { "\($0)" } ?? "accepted")")
  }

  @Test("nesting is limited, and nothing that is read takes long")
  func limits() {
    for text in [
      String(repeating: "[", count: 100_000), String(repeating: "- ", count: 100_000),
      String(repeating: "{a: ", count: 100_000),
      (0..<1000).map { String(repeating: " ", count: $0) + "a:\n" }.joined(),
    ] {
      #expect(throws: YAMLError.self) { try YAMLParser.parse(text) }
    }
    let anchors = "a0: &a0 [x]\n" + (1..<40).map { "a\($0): &a\($0) [*a\($0 - 1), *a\($0 - 1)]\n" }.joined()
    #expect(throws: Never.self) { try YAMLParser.parse(anchors) }
  }
}
