import HTTP1
import JSON
import TensorFormats
import Tensors
import Testing

@testable import LearnedNetworks
@testable import Localization
@testable import PruningNumerics
@testable import PruningService
@testable import TokenPruning
@testable import VisionLayouts

@Suite("openapi.yaml says what the service does, no more and no less")
struct ContractTests {
  private let contract: ContractDocument

  init() throws { contract = try ContractDocument() }

  @Test("every route is described, and every description has a route")
  func routes() throws {
    let described = try contract.operations.map { "\($0.method) \($0.route)" }
    #expect(described.sorted() == Endpoints.standard.map { "\($0.method) \($0.route)" }.sorted())
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
    let tensors = TensorAxes.names.filter { operation.mayBeLaterStage || $0 != "already_dropped" }
    #expect(described.sorted() == (operation.parameterNames + tensors).sorted())
  }

  @Test("a comparison takes its parameters and the tensors, in the body and in the query string")
  func compareMembers() throws {
    let members = try contract.members("CompareRequest")
    #expect(members.sorted() == (CompareOperation.parameterNames + TensorAxes.names).sorted())
    let list = try #require(try contract.value("paths", "/compare", "post", "parameters").arrayValue)
    let names = try list.compactMap { reference -> String? in
      let parameter = try #require(try contract.resolved(reference).objectValue)
      return parameter["in"] == "query" ? parameter["name"]?.stringValue : nil
    }
    #expect(names.sorted() == (CompareOperation.parameterNames + ["tensor"]).sorted())
    let body = try contract.value("paths", "/compare", "post", "requestBody", "content")
    #expect(body.objectValue?.names == TensorFormats.all.map { $0.mediaTypes[0] })
    let choices = try #require(try contract.schema("methods").objectValue?["anyOf"]?.arrayValue)
    #expect(choices[0].objectValue?["maxItems"] == .integer(CompareOperation.maximumMethods))
  }

  @Test("a plan takes the parameters of /prune, and no tensors")
  func planMembers() throws {
    #expect(try contract.members("PlanRequest").sorted() == PlanOperation.parameterNames.sorted())
    let list = try #require(try contract.value("paths", "/plan", "post", "parameters").arrayValue)
    let names = try list.compactMap { reference -> String? in
      let parameter = try #require(try contract.resolved(reference).objectValue)
      return parameter["in"] == "query" ? parameter["name"]?.stringValue : nil
    }
    #expect(names.sorted() == PlanOperation.parameterNames.sorted())
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
    #expect(described.sorted() == (operation.parameterNames + ["tensor"]).sorted())
  }

  @Test("bodies and answers have the media types that are read and written", arguments: Operation.allCases)
  func mediaTypes(of operation: PruningService.Operation) throws {
    let path = ["paths", "/\(operation.rawValue)", "post"]
    let body = try contract.value(contract.root, path + ["requestBody", "content"])
    let answer = try contract.value(contract.root, path + ["responses", "200", "content"])
    #expect(body.objectValue?.names == TensorFormats.all.map { $0.mediaTypes[0] })
    #expect(
      answer.objectValue?.names == TensorFormats.answers.map { $0.mediaTypes[0] } + [Answer.pictureType])
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
    #expect(try choices(["break_even", "properties", "transport"]) == CallCost.transportNames)
    #expect(try contract.members("break_even") == BreakEvenRequest.names)
    #expect(
      try choices(["BreakEvenAnswer", "properties", "verdict"]) == BreakEven.Verdict.allCases.map(\.rawValue))
    #expect(
      try choices(["MethodDescription", "properties", "family"])
        == MethodFacts.Family.allCases.map(\.rawValue))
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
    #expect(
      try choices(["LlavaNextLayout", "properties", "merge_type"])
        == TokenLayout.TileMerge.allCases.map(\.rawValue))
    #expect(try choices(["budget_scope"]) == BudgetScope.allCases.map(\.rawValue))
    #expect(try choices(["newline_policy"]) == NewlinePolicy.allCases.map(\.rawValue))
  }

  /// The order in which localization tries them, then those of a given region.
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

  /// The least a layout of each family needs, and what each member may be beside it.
  private static let layouts: [(schema: String, least: JSONObject)] = [
    ("GridLayout", ["type": "grid", "rows": 2, "columns": 2]),
    ("LlavaLayout", ["type": "llava"]),
    ("LlavaNextLayout", ["type": "llava_next", "image_size": [640, 480]]),
    ("LlavaOneVisionLayout", ["type": "llava_onevision", "image_size": [640, 480]]),
    ("Qwen2VLLayout", ["type": "qwen2_vl", "image_size": [640, 480]]),
    ("Qwen25VLLayout", ["type": "qwen2_5_vl", "image_size": [640, 480]]),
    ("Qwen3VLLayout", ["type": "qwen3_vl", "image_size": [640, 480]]),
    ("InternVLLayout", ["type": "internvl", "image_size": [640, 480]]),
    ("Gemma3Layout", ["type": "gemma3", "image_size": [640, 480], "pan_and_scan": true]),
    ("Idefics3Layout", ["type": "idefics3", "image_size": [640, 480]]),
    ("SmolVLMLayout", ["type": "smolvlm", "image_size": [640, 480]]),
    ("PixtralLayout", ["type": "pixtral", "image_size": [640, 480]]),
    ("MiniCPMVLayout", ["type": "minicpm_v", "image_size": [640, 480]]),
    ("GLM4VLayout", ["type": "glm4v", "image_size": [640, 480]]),
    ("DeepSeekVL2Layout", ["type": "deepseek_vl2", "image_size": [640, 480]]),
    ("KimiVLLayout", ["type": "kimi_vl", "image_size": [640, 480]]),
    ("MolmoLayout", ["type": "molmo", "image_size": [640, 480]]),
    ("Molmo2Layout", ["type": "molmo2", "image_size": [640, 480]]),
    ("VideoLayout", ["type": "video", "frames": 2, "rows": 2, "columns": 2]),
    ("RawLayout", ["type": "raw", "tokens": 4]),
  ]

  private static let memberValues: JSONObject = [
    "rows": 2, "columns": 2, "image_size": [640, 480], "padding": "pad", "merge_type": "spatial_unpad",
    "grid_pinpoints": [[672, 672]], "tiles": [1, 2], "tile_size": 336, "patch_size": 14, "newline": true,
    "grid_thw": [1, 4, 4], "merge_size": 2, "min_pixels": 3136, "max_pixels": 1_000_000,
    "second_per_grid": 0.5, "tokens_per_second": 2, "min_tiles": 1, "max_tiles": 12, "tokens_per_side": 16,
    "thumbnail": true, "pan_and_scan": true, "min_crop_size": 256, "max_crops": 4, "min_ratio": 1.2,
    "longest_edge": 1456, "scale_factor": 2, "split": true, "frames": 2, "temporal_patch_size": 2,
    "tokens": 4, "max_slices": 4, "slice_size": 448, "max_patches": 4096, "max_side": 512, "breaks": true,
    "overlap": 4, "crop": true, "hexagons": 1,
  ]

  @Test("a layout refuses every member that the contract does not name, and takes every other")
  func layoutMembers() throws {
    #expect(Self.layouts.count == TokenLayout.families.count)
    for (schema, least) in Self.layouts {
      let named = try contract.members(schema)
      #expect(named.allSatisfy { $0 == "type" || Self.memberValues[$0] != nil }, "\(schema): \(named)")
      for member in Self.memberValues.members {
        var given = least
        given[member.name] = member.value
        let isAccepted = (try? TokenLayout(.object(given), tokenCount: nil)) != nil
        #expect(isAccepted == named.contains(member.name), "\(schema).\(member.name)")
      }
    }
  }

  @Test("defaults of the layouts' members are those of the code")
  func layoutDefaults() throws {
    for (schema, least) in Self.layouts {
      let properties = try #require(try contract.schema(schema).objectValue?["properties"]?.objectValue)
      for member in properties.members {
        guard let value = member.value.objectValue?["default"] else { continue }
        var given = least
        given[member.name] = value
        let plain = try TokenLayout(.object(least), tokenCount: nil)
        #expect(try TokenLayout(.object(given), tokenCount: nil) == plain || member.name == "pan_and_scan")
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
        case "base", "faithful": "vicrop"
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
    case .reselect: "ReselectRequest"
    }
  }
}
