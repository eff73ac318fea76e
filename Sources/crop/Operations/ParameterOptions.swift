import ArgumentParser
import JSON
import Parameters
import PruningService
import TokenPruning

/// The parameters of one call of the program.
struct GivenParameters {
  let object: JSONObject
  /// The names of those that have a flag of their own and were given by it.
  let flags: Set<String>

  /// What the service makes of them; its problems in the words of the command line.
  func answered<Answer>(_ answer: () throws(Problem) -> Answer) throws(InputError) -> Answer {
    do throws(Problem) {
      return try answer()
    } catch {
      throw InputError(error, flags: flags)
    }
  }
}

/// Parameters every operation takes.
struct CommonParameterOptions: ParsableArguments {
  @Option(help: ArgumentHelp("All parameters as one JSON object; flags override it.", valueName: "json"))
  var parameters: String?

  @Option(
    help: ArgumentHelp("Token grid as rows x columns (24x24), or a layout as JSON.", valueName: "layout"))
  var layout: String?

  @Option(help: ArgumentHelp("Seed of all random choices.", valueName: "number"))
  var seed: Int?

  /// What `--parameters` says, overridden by what flags say.
  ///
  /// - Parameters:
  ///   - others: given by flags of other groups.
  ///   - names: of the parameters that there are.
  /// - Throws: for text that is not JSON or not of the form described, naming the flag.
  func given(
    beside others: JSONObject = [:], among names: Set<String> = Operation.parameterNames
  ) throws(InputError) -> GivenParameters {
    var object = JSONObject()
    if let parameters {
      object = try jsonObject(parameters, from: "--parameters")
      for name in object.names where !names.contains(name) {
        let hint = nameSuggestion(for: name, among: names.sorted())
        throw InputError("--parameters: unknown parameter '\(name)'; \(hint)")
      }
    }
    var flags = others
    if let layout { flags["layout"] = try layoutValue(layout) }
    flags["seed"] = seed.map(JSONValue.integer)
    object.merge(flags)
    return GivenParameters(object: object, flags: Set(flags.names))
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

  func members() throws(InputError) -> JSONObject {
    var members = JSONObject()
    members["keep_tokens"] = keepTokens.map(JSONValue.integer)
    members["keep_ratio"] = keepRatio.map(JSONValue.number)
    members["prune_ratio"] = pruneRatio.map(JSONValue.number)
    if let region { members["region"] = try regionValue(region) }
    members["region_policy"] = regionPolicy.map(JSONValue.string)
    return members
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

  func members() throws(InputError) -> JSONObject {
    var members = try budget.members()
    members["method"] = method.map(JSONValue.string)
    if let methodParameters {
      members["method_parameters"] = .object(try jsonObject(methodParameters, from: "--method-parameters"))
    }
    return members
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
