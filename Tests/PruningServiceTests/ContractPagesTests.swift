import TensorFormats
import Testing

@testable import Localization
@testable import PruningService
@testable import TokenPruning
@testable import VisionLayouts

@Suite("the pages in docs/ name what the code has")
struct ContractPagesTests {
  @Test("every method has a section in docs/methods.md, and every section a method")
  func methodSections() throws {
    let text = try ContractDocument.file("docs/methods.md")
    let sections = text.split(separator: "\n").filter { $0.hasPrefix("## `") }
      .map { String($0.dropFirst(4).prefix { $0 != "`" }) }
    let methods = MethodRegistry.standard.descriptors
    #expect(sections == methods.map(\.name))
    for method in methods {
      let section = try #require(text.section("## `\(method.name)`"))
      let names =
        method.parameters.map(\.name) + method.requiredInputs + method.optionalInputs
        + method.schedules.map(\.name)
      for name in names { #expect(section.contains("`\(name)`"), "\(method.name): \(name)") }
      #expect(section.contains("*Deviations*"), "\(method.name)")
      if let paper = method.paper?.split(separator: " ").last {
        #expect(section.contains(paper), "\(method.name) cites \(paper)")
      }
    }
  }

  @Test("the table of docs/methods.md is made of the descriptors: crop methods --format markdown")
  func methodTable() throws {
    let text = try ContractDocument.file("docs/methods.md")
    #expect(text.contains(MethodDescriptor.markdownTable(MethodRegistry.standard.descriptors)))
    for family in MethodFacts.Family.allCases {
      #expect(text.contains("](methods/\(family.rawValue).jpg)"), "a picture of \(family.rawValue)")
    }
  }

  @Test("docs/localization.md lists the box formats, sources, objectives and layouts of the code")
  func localizationTables() throws {
    let rows = try Self.firstColumns(of: "docs/localization.md")
    let names =
      BoxFormat.allCases.map(\.rawValue) + LocalizationSource.ofScores.map(\.rawValue)
      + LocalizationOptions.ObjectiveName.allCases.map(\.rawValue) + TokenLayout.families.map(\.type)
    #expect(rows.filter { $0.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" } } == names)
  }

  @Test("docs/requests.md lists the problem types with their statuses")
  func problemTable() throws {
    let text = try ContractDocument.file("docs/requests.md")
    let listed = try Self.firstColumns(of: "docs/requests.md").filter { $0.hasPrefix("/problems/") }
    #expect(Set(listed) == Set(ProblemType.allCases.map { "/problems/\($0.slug)" }))
    #expect(listed.count == ProblemType.allCases.count)
    for type in ProblemType.allCases {
      let row = text.split(separator: "\n").first { $0.hasPrefix("| `/problems/\(type.slug)`") }
      let statuses = try #require(row).split(separator: "|")[1]
      #expect(statuses.contains(String(type.status)), "\(type.slug)")
    }
  }

  @Test("docs/requests.md lists the media types that are read")
  func formatTable() throws {
    let text = try ContractDocument.file("docs/requests.md")
    for type in TensorFormats.all.flatMap({ $0.mediaTypes }) {
      #expect(text.contains("`\(type)`"), "\(type)")
    }
  }

  /// The code that starts the rows of a page's tables, headings left out, in order.
  private static func firstColumns(of path: String) throws -> [String] {
    let lines = try ContractDocument.file(path).split(separator: "\n")
    return zip(lines, lines.dropFirst() + [""])
      .filter { line, next in line.hasPrefix("| `") && !next.hasPrefix("|---") }
      .map { String($0.0.dropFirst(3).prefix { $0 != "`" }) }
  }
}
