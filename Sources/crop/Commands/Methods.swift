import ArgumentParser
import JSON
import PruningService
import TokenPruning

struct Methods: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the pruning methods, or explain one.",
    discussion: """
      EXAMPLES
        crop methods
        crop methods divprune
        crop methods --format json
      """)

  enum Format: String, CaseIterable, ExpressibleByArgument { case table, json, markdown }

  @Argument(
    help: "The method to explain; without it, all are listed.",
    completion: .list(MethodRegistry.standard.descriptors.map(\.name)))
  var name: String?

  @Option(help: "Output format: table, json, or the table of docs/methods.md as markdown.")
  var format = Format.table

  func run() throws {
    let methods = MethodRegistry.standard.descriptors
    guard let name else {
      switch format {
      case .table: StandardStreams.writeOutput(MethodDescriptor.list(methods))
      case .json: StandardStreams.writeOutput(prettyText(of: ["methods": .array(methods.map(\.json))]))
      case .markdown: StandardStreams.writeOutput(MethodDescriptor.markdownTable(methods))
      }
      return
    }
    guard let method = MethodRegistry.standard.descriptor(named: name) else {
      throw ValidationError(MethodRegistry.standard.unknown(name))
    }
    switch format {
    case .table: StandardStreams.writeOutput(method.explanation)
    case .json: StandardStreams.writeOutput(prettyText(of: method.json))
    case .markdown: StandardStreams.writeOutput(MethodDescriptor.markdownTable([method]))
    }
  }
}

extension MethodDescriptor {
  static func list(_ methods: [MethodDescriptor]) -> String {
    let rows = methods.map { [$0.name, $0.needs ?? "-", $0.summary] }
    return TextTable(header: ["METHOD", "NEEDS", "WHAT IT DOES"], rows: rows).text
  }

  /// `image_features, attention`, or `attention or hidden_states`; nil for a method that chooses by position alone, or
  /// by whatever is there.
  fileprivate var needs: String? {
    let either = alternativeInputs.joined(separator: " or ")
    let all = requiredInputs + (either.isEmpty ? [] : [either])
    return all.isEmpty ? nil : all.joined(separator: ", ")
  }

  /// What methods are compared by.
  private var comparison: String {
    let question =
      switch facts.isQuestionAware {
      case true?: "yes"
      case false?: "no"
      case nil: "as the scores do"
      }
    let rows = [
      ["question matters", question], ["without attention", isAttentionFree ? "yes" : "no"],
      ["cost", facts.cost],
    ]
    return rows.map { "\($0[0]): \($0[1])\n" }.joined()
      + facts.reported.map { "reported: \($0.result) (\($0.source))\n" }.joined()
  }

  /// Everything about one method, for reading.
  var explanation: String {
    var text = "\(name): \(summary)\n"
    if let paper { text += "paper: \(paper)\n" }
    if let needs { text += "needs: \(needs)\n" }
    if !optionalInputs.isEmpty { text += "may use: \(optionalInputs.joined(separator: ", "))\n" }
    if !parameters.isEmpty {
      let rows = parameters.map { parameter in
        [
          parameter.name, parameter.kind.description, parameter.defaultValue.description,
          parameter.summary + (parameter.onlyUse.map { " (\($0.rawValue) only)" } ?? ""),
        ]
      }
      text += "\n" + TextTable(header: ["PARAMETER", "VALUE", "DEFAULT", "MEANING"], rows: rows).text
    }
    text += "\n\(comparison)"
    text += "keep_tokens: \(budget)\n"
    if !properties.isEmpty {
      text += "with default parameters: \(properties.map(\.explanation).joined(separator: "; "))\n"
    }
    if !schedules.isEmpty {
      let rows = schedules.map { schedule in
        [schedule.name, schedule.tokenCount.map(String.init) ?? "any", schedule.stagesText]
      }
      text += "\n" + TextTable(header: ["STAGES", "TOKENS", "WHAT IS KEPT"], rows: rows).text
    }
    if !deviations.isEmpty {
      text += "\ndeviations from the paper:\n" + deviations.map { "  * \($0)\n" }.joined()
    }
    return text
  }
}

extension MethodDescriptor.Property {
  fileprivate var explanation: String {
    switch self {
    case .nested: "a larger budget keeps what a smaller one kept"
    case .scaleInvariant: "the scale of a tensor does not matter"
    case .orderEquivariant: "the order of the tokens does not matter"
    }
  }
}

extension PublishedSchedule {
  fileprivate var stagesText: String {
    stages.map { stage in
      let kept =
        switch stage.budget {
        case .keepTokens(let count): "\(count)"
        case .keepRatio(let ratio): "\(ratio) N"
        case .pruneRatio(let ratio): "\(1 - ratio) N"
        }
      return "layer \(stage.layer): \(kept)"
    }.joined(separator: ", ")
  }
}

extension ParameterDescriptor.Kind {
  fileprivate var description: String {
    switch self {
    case .integer(let range): "\(range.lowerBound)...\(range.upperBound)"
    case .number(let range): "\(range.lowerBound)...\(range.upperBound)"
    case .boolean: "true, false"
    case .choice(let names): names.joined(separator: ", ")
    }
  }
}
