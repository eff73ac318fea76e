import HTTP1
import JSON
import TensorFormats
import Tensors
import Testing

@testable import PruningService
@testable import TokenPruning

@Suite("openapi.yaml says what the service does, no more and no less")
struct ContractTests {
  private let contract: ContractDocument

  init() throws { contract = try ContractDocument() }

  @Test("every route is described, and every description has a route")
  func routes() throws {
    let described = try contract.operations.map { "\($0.method) \($0.route)" }
    #expect(described.sorted() == Service.routes.map { "\($0.method) \($0.route)" }.sorted())
  }

  @Test("the problem types are those of the service")
  func problemTypes() throws {
    let described = try #require(
      try contract.schema("Problem").objectValue?["properties"]?.objectValue?["type"]?.objectValue?["enum"])
    let types = ProblemType.allCases.map { JSONValue.string("/problems/\($0.slug)") }
    #expect(described == .array(types))
  }

  @Test("a request body has the operation's parameters and the tensors", arguments: Operation.allCases)
  func bodyMembers(of operation: PruningService.Operation) throws {
    let described = try contract.members(operation.schemaName)
    #expect(described.sorted() == (operation.parameterNames + TensorAxes.names).sorted())
  }

  @Test("the query string takes the same parameters", arguments: Operation.allCases)
  func queryParameters(of operation: PruningService.Operation) throws {
    let list = try #require(
      try contract.value("paths", "/\(operation.rawValue)", "post", "parameters").arrayValue)
    var described: [String] = []
    for reference in list {
      let parameter = try #require(try contract.resolved(reference).objectValue)
      if parameter["in"] == "query" { described.append(try #require(parameter["name"]?.stringValue)) }
    }
    #expect(described.sorted() == (operation.parameterNames + ["tensor", "tensor_dtype"]).sorted())
  }

  @Test("bodies and answers have the media types that are read and written", arguments: Operation.allCases)
  func mediaTypes(of operation: PruningService.Operation) throws {
    let known = TensorFormats.all.map { $0.mediaTypes[0] }
    let path = ["paths", "/\(operation.rawValue)", "post"]
    let body = try contract.value(contract.root, path + ["requestBody", "content"])
    let answer = try contract.value(contract.root, path + ["responses", "200", "content"])
    #expect(body.objectValue?.names == known)
    #expect(answer.objectValue?.names == known)
  }

  @Test("the methods are those of the registry")
  func methods() throws {
    #expect(try contract.choices("MethodName") == MethodRegistry.standard.descriptors.map(\.name))
  }

  @Test("names with a fixed set of values list exactly the values of the code")
  func choices() throws {
    let options = ["LocalizeOptions", "properties"]
    func choices(_ names: [String]) throws -> [String] {
      let schema = try contract.value(contract.root, ["components", "schemas"] + names)
      return try #require(schema.objectValue?["enum"]?.arrayValue).compactMap(\.stringValue)
    }
    #expect(try choices(["ElementType"]) == ElementType.allCases.map(\.rawValue))
    #expect(
      try choices(["FloatingPointType"])
        == ElementType.allCases.filter(\.isFloatingPoint).map(\.rawValue))
    #expect(try choices(["BoxFormat"]) == BoxFormat.allCases.map(\.rawValue))
    #expect(try choices(["region_policy"]) == RegionPolicy.names)
    #expect(try choices(["mode"]) == CompressOperation.Mode.allCases.map(\.rawValue))
    #expect(
      try choices(["Model", "properties", "kind"]) == ModelConfiguration.Kind.allCases.map(\.rawValue))
    #expect(try choices(["anchors"]) == AnchorStrategy.allCases.map(\.rawValue))
    #expect(try choices(["Source"]) == answerSources)
    #expect(try choices(options + ["source"]) == LocalizationSource.ofScores.map(\.rawValue))
    #expect(
      try choices(options + ["objective"]) == LocalizationOptions.ObjectiveName.allCases.map(\.rawValue))
    #expect(
      try choices(options + ["baseline"]) == RectangleObjective.Baseline.allCases.map(\.rawValue))
    #expect(
      try choices(options + ["similarity_sign"]) == SimilarityScores.Sign.allCases.map(\.rawValue))
    #expect(
      try choices(["LlavaLayout", "properties", "padding"]) == TokenLayout.Padding.allCases.map(\.rawValue))
  }

  /// The order in which localisation tries them, then those of a given region.
  private var answerSources: [String] {
    (LocalizationSource.ofScores + LocalizationSource.allCases.filter { [.boxes, .text].contains($0) })
      .map(\.rawValue)
  }

  @Test("the layouts are the families of the code")
  func layouts() throws {
    let mapping = try #require(
      try contract.schema("Layout").objectValue?["discriminator"]?.objectValue?["mapping"]?.objectValue)
    #expect(mapping.names == TokenLayout.families.map(\.type))
  }

  @Test("a layout refuses every member that the contract does not name")
  func layoutMembers() throws {
    for (schema, layout) in [
      ("GridLayout", ["type": "grid", "rows": 2, "columns": 2] as JSONObject),
      ("LlavaLayout", ["type": "llava", "rows": 2, "columns": 2]),
    ] {
      let named = try contract.members(schema)
      for name in ["type", "rows", "columns", "image_size", "padding", "grid_thw", "tiles"] {
        var given = layout
        if name == "image_size" { given[name] = [640, 480] }
        if name == "padding" { given[name] = "pad" }
        if given[name] == nil { given[name] = 1 }
        let isAccepted = (try? TokenLayout(.object(given), tokenCount: 4)) != nil
        #expect(isAccepted == named.contains(name), "\(schema).\(name)")
      }
    }
  }

  @Test("options and dimensions have the members that the code reads")
  func optionMembers() throws {
    #expect(try contract.members("LocalizeOptions") == LocalizationOptions.names)
    #expect(try contract.members("ModelDimensions") == ModelDimensions.names)
    #expect(
      try contract.members("Stage").sorted() == (["layer", "attention"] + TokenBudget.names).sorted())
  }

  @Test("defaults and ranges of the localize options are those of the code")
  func optionRanges() throws {
    let properties = try #require(
      try contract.schema("LocalizeOptions").objectValue?["properties"]?.objectValue)
    for member in properties.members {
      let schema = try #require(try contract.resolved(member.value).objectValue)
      // Some members are accepted under one objective only.
      var plain = JSONObject()
      plain["objective"] =
        switch member.name {
        case "coverage", "baseline": "coverage"
        case "area_power": "contrast"
        case "base": "vicrop"
        default: .none
        }
      if let value = schema["default"] {
        var given = plain
        given[member.name] = value
        #expect(try LocalizationOptions(given) == LocalizationOptions(plain), "\(member.name)")
      }
      for (bound, step) in [("minimum", -0.5), ("maximum", 0.5)] {
        guard let limit = schema[bound]?.doubleValue else { continue }
        let isWhole = schema["type"] == "integer"
        let outside = isWhole ? JSONValue.integer(Int(limit + 2 * step)) : .number(limit + step)
        let inside = schema[bound] ?? .null
        var accepted = plain
        accepted[member.name] = inside
        #expect(throws: Never.self, "\(member.name)") { try LocalizationOptions(accepted) }
        var refused = plain
        refused[member.name] = outside
        #expect(throws: PruningError.self, "\(member.name)") { try LocalizationOptions(refused) }
      }
    }
  }

  @Test("the version is the program's")
  func version() throws {
    #expect(try contract.value("info", "version") == .string(Version.current))
  }
}

extension PruningService.Operation {
  fileprivate var schemaName: String {
    switch self {
    case .localize: "LocalizeRequest"
    case .prune: "PruneRequest"
    case .compress: "CompressRequest"
    }
  }
}
