import Foundation
import JSON
import Testing

@testable import VisionLayouts

/// One line of Tests/Golden/layouts.json, which tools/layouts/reference.py writes.
struct LayoutReference: Sendable, CustomStringConvertible {
  let layout: JSONValue
  let tokens: Int
  let separators: Int
  /// nil for a separator.
  let centres: [(token: Int, point: (x: Double, y: Double)?)]
  let grid: JSONValue?

  var description: String { String(decoding: layout.serialized(), as: UTF8.self) }

  static let all: [LayoutReference] = {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    guard let body = try? [UInt8](Data(contentsOf: root.appending(path: "Golden/layouts.json"))),
      let cases = try? JSONValue.parse(body[...]).objectValue?["cases"]?.arrayValue
    else { return [] }
    return cases.compactMap(LayoutReference.init)
  }()

  init?(_ json: JSONValue) {
    guard let object = json.objectValue, let layout = object["layout"],
      let tokens = object["tokens"]?.integerValue, let separators = object["separators"]?.integerValue,
      let rows = object["centres"]?.arrayValue
    else { return nil }
    self.layout = layout
    self.tokens = tokens
    self.separators = separators
    grid = object["grid_thw"]
    centres = rows.compactMap { row in
      guard let row = row.arrayValue, row.count == 3, let token = row[0].integerValue else { return nil }
      if let x = row[1].doubleValue, let y = row[2].doubleValue { return (token, (x, y)) }
      return (token, nil)
    }
  }
}

@Suite("Layouts agree with the processors of the model families")
struct LayoutReferenceTests {
  @Test("the references are there")
  func present() { #expect(LayoutReference.all.count == 188) }

  @Test("tokens are as many as the processor makes", arguments: LayoutReference.all)
  func counts(_ reference: LayoutReference) throws {
    let layout = try TokenLayout(reference.layout, tokenCount: nil)
    #expect(layout.tokenCount == reference.tokens)
    #expect(layout.separators.count == reference.separators)
    #expect(layout.views.reduce(layout.separators.count) { $0 + $1.tokenCount } == layout.tokenCount)
    if let grid = reference.grid {
      let given: JSONValue = ["type": .string(layout.type), "grid_thw": grid]
      #expect(try TokenLayout(given, tokenCount: nil).views == layout.views)
    }
  }

  @Test("token i looks at the place the processor shows it", arguments: LayoutReference.all)
  func slots(_ reference: LayoutReference) throws {
    let layout = try TokenLayout(reference.layout, tokenCount: reference.tokens)
    #expect(reference.centres.count >= 6)
    for (token, point) in reference.centres {
      let position = layout.position(of: token)
      guard let point else {
        #expect(position == nil && layout.separators.contains(token), "token \(token)")
        continue
      }
      let found = try #require(position, "token \(token)")
      let cell = layout.views[found.view].cell(row: found.row, column: found.column)
      // Colours are bytes, and resizing blurs the edges.
      let tolerance = 0.008
      #expect(abs((cell.x0 + cell.x1) / 2 - point.x) < tolerance, "token \(token): \(cell), \(point)")
      #expect(abs((cell.y0 + cell.y1) / 2 - point.y) < tolerance, "token \(token): \(cell), \(point)")
    }
  }

  @Test("every token is in one view or is a separator", arguments: LayoutReference.all)
  func partition(_ reference: LayoutReference) throws {
    let layout = try TokenLayout(reference.layout, tokenCount: nil)
    var seen = [Int](repeating: 0, count: layout.tokenCount)
    let owners = try #require(layout.viewOfEachToken())
    var agree = true
    for (index, view) in layout.views.enumerated() {
      for row in 0..<view.rows {
        for column in 0..<view.columns {
          let token = view.token(row: row, column: column)
          seen[token] += 1
          agree = agree && owners[token] == index
          agree =
            agree && layout.position(of: token) == TokenPosition(view: index, row: row, column: column)
        }
      }
    }
    for token in layout.separators {
      seen[token] += 1
      #expect(layout.position(of: token) == nil)
    }
    #expect(agree)
    #expect(seen.allSatisfy { $0 == 1 })
    #expect(layout.separators == Array(Set(layout.separators)).sorted())
  }
}
