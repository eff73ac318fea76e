import ArgumentParser
import JSON
import Parameters
import PruningService
import TokenPruning

/// Parameters every operation takes.
struct CommonParameterOptions: ParsableArguments {
  @Option(help: ArgumentHelp("All parameters as one JSON object; flags override it.", valueName: "json"))
  var parameters: String?

  @Option(
    help: ArgumentHelp("Token grid as rows x columns (24x24), or a layout as JSON.", valueName: "layout"))
  var layout: String?

  @Option(help: ArgumentHelp("Seed of all random choices.", valueName: "number"))
  var seed: Int?

  /// The parameters that a flag of their own gave.
  var flags: Set<String> {
    let given: [(String, Bool)] = [("layout", layout != nil), ("seed", seed != nil)]
    return Set(given.filter(\.1).map(\.0))
  }

  /// - Throws: for text that is not JSON or not of the form described, naming the flag.
  ///
  /// - Parameter names: of the parameters that there are.
  func object(among names: Set<String> = Operation.parameterNames) throws(InputError) -> JSONObject {
    var object = JSONObject()
    if let parameters {
      object = try jsonObject(parameters, from: "--parameters")
      for name in object.names where !names.contains(name) {
        let hint = nameSuggestion(for: name, among: names.sorted())
        throw InputError("--parameters: unknown parameter '\(name)'; \(hint)")
      }
    }
    if let layout { object["layout"] = try layoutValue(layout) }
    if let seed { object["seed"] = .integer(seed) }
    return object
  }
}

/// How many tokens stay, and where: parameters of the operations that choose tokens.
struct BudgetParameterOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Budget: number of tokens to keep.", valueName: "count"))
  var keepTokens: Int?

  @Option(help: ArgumentHelp("Budget: share of the tokens to keep, 0 to 1.", valueName: "ratio"))
  var keepRatio: Double?

  @Option(help: ArgumentHelp("Budget: share of the tokens to prune, 0 to 1.", valueName: "ratio"))
  var pruneRatio: Double?

  @Option(
    help: ArgumentHelp(
      "Contextual region: blocks [x_min,y_min,x_max,y_max] of the 8x8 grid, or JSON.", valueName: "region"))
  var region: String?

  @Option(
    help: ArgumentHelp(
      "How the region affects the choice: only, first, share, bias, none.", valueName: "policy"),
    completion: .list(RegionPolicy.names))
  var regionPolicy: String?

  func validate() throws {
    let budgets = [
      keepTokens.map { _ in "--keep-tokens" }, keepRatio.map { _ in "--keep-ratio" },
      pruneRatio.map { _ in "--prune-ratio" },
    ].compactMap { $0 }
    guard budgets.count <= 1 else {
      throw ValidationError("\(budgets.joined(separator: " and ")) exclude each other: give one budget.")
    }
    for (name, ratio) in [("--keep-ratio", keepRatio), ("--prune-ratio", pruneRatio)] {
      if let ratio, !ratio.isFinite { throw ValidationError("\(name) must be a number from 0 to 1.") }
    }
  }

  /// The parameters that a flag of their own gave.
  var flags: Set<String> {
    let given: [(String, Bool)] = [
      ("keep_tokens", keepTokens != nil), ("keep_ratio", keepRatio != nil),
      ("prune_ratio", pruneRatio != nil),
      ("region", region != nil), ("region_policy", regionPolicy != nil),
    ]
    return Set(given.filter(\.1).map(\.0))
  }

  /// Adds what was given; a budget flag replaces whatever budget is there.
  func add(to object: inout JSONObject) throws(InputError) {
    let budgets: [(String, JSONValue?)] = [
      ("keep_tokens", keepTokens.map { .integer($0) }), ("keep_ratio", keepRatio.map { .number($0) }),
      ("prune_ratio", pruneRatio.map { .number($0) }),
    ]
    if budgets.contains(where: { $0.1 != nil }) {
      for (name, value) in budgets { object[name] = value }
    }
    if let region { object["region"] = try regionValue(region) }
    if let regionPolicy { object["region_policy"] = .string(regionPolicy) }
  }
}

/// The method beside the budget.
struct SelectionParameterOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Pruning method; 'crop methods' lists them.", valueName: "name"),
    completion: .list(MethodRegistry.standard.descriptors.map(\.name)))
  var method: String?

  @Option(help: ArgumentHelp("The method's own parameters as a JSON object.", valueName: "json"))
  var methodParameters: String?

  @OptionGroup var budget: BudgetParameterOptions

  /// The parameters that a flag of their own gave.
  var flags: Set<String> {
    let given: [(String, Bool)] = [
      ("method", method != nil), ("method_parameters", methodParameters != nil),
    ]
    return budget.flags.union(given.filter(\.1).map(\.0))
  }

  func add(to object: inout JSONObject) throws(InputError) {
    if let method { object["method"] = .string(method) }
    if let methodParameters {
      object["method_parameters"] = .object(try jsonObject(methodParameters, from: "--method-parameters"))
    }
    try budget.add(to: &object)
  }
}

// MARK: Values written on the command line

/// `24x24` as a grid layout, anything else as a JSON object.
func layoutValue(_ text: String) throws(InputError) -> JSONValue {
  let extents = text.split(separator: "x", omittingEmptySubsequences: false).map { part in
    part.allSatisfy { $0.isASCII && $0.isWholeNumber } ? Int(part) : nil
  }
  if extents.count == 2, let rows = extents[0], let columns = extents[1] {
    return ["type": "grid", "rows": .integer(rows), "columns": .integer(columns)]
  }
  guard case .object(let layout)? = try? json(text, from: "--layout") else {
    throw InputError(
      "--layout: '\(text)' is neither rows x columns, such as 24x24, nor a JSON object, "
        + "such as {\"type\": \"grid\", \"rows\": 24, \"columns\": 24}")
  }
  return .object(layout)
}

/// Four whole numbers as blocks of the 8 x 8 grid; objects and lists of objects as they are.
func regionValue(_ text: String) throws(InputError) -> JSONValue {
  let value = try json(text, from: "--region")
  switch value {
  case .object: return value
  case .array(let elements) where elements.count == 4 && elements.allSatisfy { $0.integerValue != nil }:
    return ["blocks": value]
  case .array(let elements) where !elements.isEmpty && elements.allSatisfy { $0.objectValue != nil }:
    return value
  default:
    throw InputError(
      "--region: expected four block coordinates, such as [2,1,5,4], or an object, "
        + "such as {\"box\": [0.25, 0.125, 0.75, 0.625]}")
  }
}

func jsonObject(_ text: String, from flag: String) throws(InputError) -> JSONObject {
  let value = try json(text, from: flag)
  guard let object = value.objectValue else {
    throw InputError(
      "\(flag): expected a JSON object, such as {\"keep_tokens\": 64}, not \(value.kindWithArticle)")
  }
  return object
}

private func json(_ text: String, from flag: String) throws(InputError) -> JSONValue {
  do throws(JSONError) {
    return try JSONValue.parse(Array(text.utf8)[...])
  } catch {
    throw InputError("\(flag): not JSON: \(error)")
  }
}
