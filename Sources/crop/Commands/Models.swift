import ArgumentParser
import JSON
import LearnedNetworks
import PruningService
import TokenPruning

struct Models: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check the learned models of a folder and list them.",
    discussion: """
      Reads every NAME.safetensors in the folder like 'crop serve --models'; for a file that is not a valid \
      model it prints what is wrong.

      EXAMPLES
        crop models weights
        crop models weights --format json
      """)

  @Argument(help: ArgumentHelp("The folder.", valueName: "folder"))
  var folder: String

  @Option(help: "Output format: table or json.")
  var format = OutputFormat.table

  func run() throws {
    let set = try ModelOptions.load(folder)
    switch format {
    case .json: StandardStreams.writeOutput(prettyText(of: ["models": set.json]))
    case .table:
      let rows = set.all.map { name, model in
        let configuration = model.configuration
        return [
          name, configuration.kind.rawValue, String(model.parameterCount), String(configuration.imageWidth),
          configuration.kind == .localizer ? String(configuration.textWidth) : "-",
          configuration.kind == .resampler ? String(configuration.queries) : "-",
          configuration.json["description"]?.stringValue ?? "",
        ]
      }
      StandardStreams.writeOutput(
        TextTable(header: ["MODEL", "KIND", "PARAMETERS", "D", "E", "QUERIES", "DESCRIPTION"], rows: rows)
          .text)
    }
  }
}

/// Where the operations of the command line find learned models.
struct ModelOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Folder of learned models, each NAME.safetensors; for localize source 'model' and mode 'resampler'.",
      valueName: "folder"))
  var models: String?

  /// - Throws: exit status 65, having said which file is no model and why.
  func load() throws(ExitCode) -> ModelSet {
    guard let models else { return ModelSet() }
    return try Self.load(models)
  }

  static func load(_ folder: String) throws(ExitCode) -> ModelSet {
    try Exit.badInput.unless(ModelDirectory(path: folder).load)
  }
}
