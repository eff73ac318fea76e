import ArgumentParser
import JSON
import PruningService
import TensorFormats
import TokenPruning

/// Input and output, the same for every operation.
struct OperationOptions: ParsableArguments {
  enum Format: String, CaseIterable, ExpressibleByArgument { case table, json }

  @Argument(
    help: ArgumentHelp(
      "Tensors: .npy, .safetensors or .json; - is standard input. An .npy file is named after its tensor (attention.npy).",
      valueName: "files"))
  var files: [String]

  @Option(
    help: ArgumentHelp("What the tensor of an .npy file is called, whatever its name.", valueName: "name"))
  var tensor: String?

  @Option(help: "What to print: a readable table, or the answer as json.")
  var format = Format.table

  /// What `format` was called before the other commands had it.
  @Option(name: .customLong("output"), help: .hidden)
  var formerFormat: Format?

  @Option(
    // Values that begin with a dash are names here.
    parsing: .unconditional,
    help: ArgumentHelp(
      "Write the answer to a file as well: .safetensors, .json, or .npy for its main tensor. "
        + "-.safetensors, -.json or -.npy is standard output, which then holds nothing else.",
      valueName: "file"))
  var out: String?

  @OptionGroup var learned: ModelOptions

  /// Reads, runs, prints; whatever is wrong with the input ends the program with status 65.
  ///
  /// - Parameter flags: the parameters that flags of their own gave.
  func run(
    _ operation: Operation, flags: Set<String>, with parameters: () throws(InputError) -> JSONObject
  ) throws(ExitCode) {
    let models = try learned.load()
    do throws(InputError) {
      let given = try parameters()
      var document = try InputFiles.document(
        paths: files, tensorName: tensor, parameterNames: Operation.parameterNames)
      document.parameters.merge(given)
      let answer = try Self.answer(operation, document, models, flags)
      if let out {
        let bytes = try answer.file(named: out)
        guard !out.hasPrefix("-.") else { return StandardStreams.writeOutput(bytes) }
        try writeFile(bytes, to: out)
      }
      switch formerFormat ?? format {
      case .json: StandardStreams.writeOutput(try answer.jsonText())
      case .table:
        let grid = TokenGrid(layout: document.parameters["layout"], tokenCount: document.tokenCount)
        StandardStreams.writeOutput(answer.summary(grid: grid))
      }
    } catch {
      throw Exit.badInput.saying("\(error)")
    }
  }

  private static func answer(
    _ operation: Operation, _ document: TensorDocument, _ models: ModelSet, _ flags: Set<String>
  ) throws(InputError) -> Answer {
    do throws(Problem) {
      return try operation.run(document, models: models)
    } catch {
      throw InputError(error, flags: flags)
    }
  }
}

extension JSONObject {
  /// Takes over every member of `others`; a budget there replaces whichever budget is here.
  mutating func merge(_ others: JSONObject) {
    let budgets = ["keep_tokens", "keep_ratio", "prune_ratio"]
    if others.names.contains(where: budgets.contains) {
      for budget in budgets { self[budget] = nil }
    }
    for member in others.members { self[member.name] = member.value }
  }
}

struct Localize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Find the region of the image that a question concerns.",
    discussion: """
      Reads a saliency row (attention, or reference_attention beside it), or image and text features, and \
      prints the region in blocks of the 8x8 grid. The map marks its tokens with '#'.

      EXAMPLES
        crop localize attention.npy
        crop localize image_features.npy text_features.npy --layout 24x24
        crop localize image_features.npy text_features.npy --models weights \\
          --parameters '{"localize": {"model": "a"}}'
        crop localize x.npy --tensor attention --format json
        cat attention.npy | crop localize - --tensor attention
      """)

  @OptionGroup var options: OperationOptions
  @OptionGroup(title: "Parameters") var common: CommonParameterOptions

  func run() throws {
    try options.run(.localize, flags: common.flags) { () throws(InputError) in
      try common.object(for: .localize)
    }
  }
}

struct Compress: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Merge visual tokens before the language model, the region finely, the rest coarsely.",
    discussion: """
      EXAMPLES
        crop compress image_features.npy --keep-tokens 64 --out small.npy
        crop compress image_features.npy --keep-tokens 64 --models weights \\
          --mode resampler
        crop compress request.json --region '[2,1,5,4]' --out small.safetensors
      """)

  @OptionGroup var options: OperationOptions
  @OptionGroup(title: "Parameters") var selection: SelectionParameterOptions
  @OptionGroup(title: "Parameters") var common: CommonParameterOptions

  @Option(
    help: ArgumentHelp("How tokens are compressed: merge, or resampler with weights.", valueName: "mode"))
  var mode: String?

  func parameters() throws(InputError) -> JSONObject {
    var object = try common.object(for: .compress)
    try selection.add(to: &object)
    if let mode { object["mode"] = .string(mode) }
    return object
  }

  func run() throws {
    try options.run(
      .compress, flags: selection.flags.union(common.flags).union(mode == nil ? [] : ["mode"]),
      with: parameters)
  }
}

struct Prune: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Choose which visual tokens stay.",
    discussion: """
      Prints the kept indices; where the tokens form a grid, the map marks them with '#'.

      EXAMPLES
        crop prune attention.npy --keep-tokens 192 --region '[2,1,5,4]'
        crop prune image_features.npy --method divprune --keep-ratio 0.25
        crop prune request.safetensors --keep-tokens 64 --out kept.npy
        crop prune attention.npy --keep-tokens 64 --format json \\
          --parameters '{"explain": true}'
      """)

  @OptionGroup var options: OperationOptions
  @OptionGroup(title: "Parameters") var selection: SelectionParameterOptions
  @OptionGroup(title: "Parameters") var common: CommonParameterOptions

  func parameters() throws(InputError) -> JSONObject {
    var object = try common.object(for: .prune)
    try selection.add(to: &object)
    return object
  }

  func run() throws { try options.run(.prune, flags: selection.flags.union(common.flags), with: parameters) }
}
