import HTTP1
public import JSON
public import TokenPruning

extension Endpoints {
  static let methods = Endpoint(method: "GET", route: "/methods", kind: .information) { _ in
    json(["methods": .array(MethodRegistry.standard.descriptors.map(\.json))])
  }

  static let method = Endpoint(method: "GET", route: "/methods/{name}", kind: .information) {
    context throws(Problem) in
    let name = context.pathVariables.first ?? ""
    guard let descriptor = MethodRegistry.standard.descriptor(named: name) else {
      // 422 is for a body that names it; here the path does.
      throw Problem(status: 404, .unknownMethod, MethodRegistry.standard.unknown(name))
    }
    return json(descriptor.json)
  }
}

extension MethodDescriptor {
  /// What `GET /methods` and `crop methods --format json` print.
  public var json: JSONValue {
    [
      "name": .string(name), "summary": .string(summary), "paper": paper.map { .string($0) } ?? .null,
      "required_inputs": .list(requiredInputs), "optional_inputs": .list(optionalInputs),
      "parameters": .array(parameters.map(\.json)), "keep_tokens": .string(budget),
      "schedules": .array(schedules.map(\.json)), "properties": .list(properties.map(\.rawValue)),
      "deviations": .list(deviations), "family": .string(facts.family.rawValue),
      "question_aware": facts.isQuestionAware.map { .bool($0) } ?? .null,
      "attention_free": .bool(isAttentionFree), "cost": .string(facts.cost),
      "inexact_parameter": facts.inexactParameter.map { .string($0) } ?? .null,
      "reported": .array(
        facts.reported.map { ["result": .string($0.result), "source": .string($0.source)] }),
    ]
  }
}

extension MethodDescriptor {
  /// The table of `docs/methods.md`, which `crop methods --format markdown` prints.
  public static func markdownTable(_ methods: [MethodDescriptor]) -> String {
    let head = [
      "| method | needs | question-aware | attention-free | exact K | cost | reported by its authors |",
      "|---|---|---|---|---|---|---|",
    ]
    return (head + methods.map(\.markdownRow)).map { $0 + "\n" }.joined()
  }

  private var markdownRow: String {
    func names(_ list: [String], _ word: String) -> String {
      list.map { "`\($0)`" }.joined(separator: word)
    }
    let either = names(alternativeInputs, " or ")
    let needed = [names(requiredInputs, ", "), either].filter { !$0.isEmpty }.joined(separator: ", ")
    let optional = optionalInputs.filter { !alternativeInputs.contains($0) }
    let needs =
      (needed.isEmpty ? "nothing" : needed)
      + (optional.isEmpty ? "" : "; may use \(names(optional, ", "))")
    let question = facts.isQuestionAware.map { $0 ? "yes" : "no" } ?? "as the scores are"
    let cells = [
      "`\(name)`", needs, question, isAttentionFree ? "yes" : "no",
      facts.inexactParameter.map { "yes, unless `\($0)`" } ?? "yes", facts.cost,
      facts.reported.map { "\($0.result) (\($0.source))" }.joined(separator: "; "),
    ]
    return "| " + cells.joined(separator: " | ") + " |"
  }
}

extension PublishedSchedule {
  var json: JSONValue {
    [
      "name": .string(name), "token_count": tokenCount.map { .integer($0) } ?? .null,
      "stages": .array(stages.map { .object($0.members) }),
    ]
  }
}

extension PublishedSchedule.Stage {
  /// As a stage of a request.
  var members: JSONObject {
    var members: JSONObject = ["layer": .integer(layer)]
    switch budget {
    case .keepTokens(let count): members[budget.name] = .integer(count)
    case .keepRatio(let ratio), .pruneRatio(let ratio): members[budget.name] = .number(ratio)
    }
    return members
  }
}

extension ParameterDescriptor {
  var json: JSONValue {
    var members: JSONObject = ["name": .string(name)]
    switch kind {
    case .integer(let range):
      members["type"] = "integer"
      members["minimum"] = .integer(range.lowerBound)
      members["maximum"] = .integer(range.upperBound)
    case .number(let range):
      members["type"] = "number"
      // JSON has no infinity: an open end is an absent member.
      if range.lowerBound.isFinite { members["minimum"] = .number(range.lowerBound) }
      if range.upperBound.isFinite { members["maximum"] = .number(range.upperBound) }
    case .boolean: members["type"] = "boolean"
    case .choice(let names):
      members["type"] = "string"
      members["enum"] = .list(names)
    }
    members["default"] = defaultValue
    members["summary"] = .string(summary)
    members["only"] = onlyUse.map { .string($0.rawValue) }
    return .object(members)
  }
}
