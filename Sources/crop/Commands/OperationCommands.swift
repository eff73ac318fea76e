import ArgumentParser
import JSON
import LearnedNetworks
import PruningService
import TensorFormats
import TokenPruning

/// Input and output, the same for every operation.
struct OperationOptions: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "Tensors: .npy, .npz, .safetensors or .json; - is standard input. An .npy file is named after its tensor (attention.npy).",
      valueName: "files"))
  var files: [String]

  @Option(
    help: ArgumentHelp("Name of the tensor in an .npy file; by default the file's name.", valueName: "name"))
  var tensor: String?

  @Option(help: "Output format: a readable table, or the result as json.")
  var format = OutputFormat.table

  /// What `format` was called before the other commands had it.
  @Option(name: .customLong("output"), help: .hidden)
  var formerFormat: OutputFormat?

  @Option(
    // Values that begin with a dash are names here.
    parsing: .unconditional,
    help: ArgumentHelp(
      "Also write the result to a file: .safetensors, .json, or .npy for its main tensor. "
        + "-.safetensors, -.json or -.npy is standard output, which then has nothing else.",
      valueName: "file"))
  var out: String?

  @OptionGroup var learned: ModelOptions
  @OptionGroup var picture: PictureOptions

  /// Reads, runs, prints; whatever is wrong with the input ends the program with status 65.
  func run(
    _ operation: Operation, with parameters: () throws(InputError) -> GivenParameters
  ) throws(ExitCode) {
    let models = try learned.load()
    try Exit.badInput.unless { () throws(InputError) in
      let given = try parameters()
      var document = try InputFiles.document(
        paths: files, tensorName: tensor, parameterNames: Operation.parameterNames)
      document.parameters.merge(given.object)
      let answer = try given.answered { () throws(Problem) in
        try operation.run(document, models: models)
      }
      if let out {
        let bytes = try answer.file(named: out)
        guard !out.hasPrefix("-.") else { return StandardStreams.writeOutput(bytes) }
        try writeFile(bytes, to: out)
      }
      if try picture.write({ answer.picture(photographs: $0) }) { return }
      switch formerFormat ?? format {
      case .json: StandardStreams.writeOutput(try answer.jsonText())
      case .table:
        let grid = TokenGrid(layout: document.parameters["layout"], tokenCount: document.tokenCount)
        StandardStreams.writeOutput(answer.summary(grid: grid))
      }
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
    abstract: "Find the region of the image that a question is about.",
    discussion: """
      Reads a row of attention (optionally with reference_attention), or image and text features, and \
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
    try options.run(.localize) { () throws(InputError) in try common.given() }
  }
}

struct Compress: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Merge visual tokens before the language model: finely in the region, coarsely elsewhere.",
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

  func parameters() throws(InputError) -> GivenParameters {
    var own = try selection.members()
    own["mode"] = mode.map(JSONValue.string)
    return try common.given(beside: own)
  }

  func run() throws { try options.run(.compress, with: parameters) }
}

struct Prune: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Choose which visual tokens to keep.",
    discussion: """
      Prints the kept indices; if the tokens form a grid, a map marks them with '#'.

      EXAMPLES
        crop prune attention.npy --keep-tokens 192 --region '[2,1,5,4]'
        crop prune image_features.npy --method divprune --keep-ratio 0.25
        crop prune request.safetensors --keep-tokens 64 --out kept.npy
        crop prune request.safetensors --keep-tokens 64 --svg kept.svg
        crop prune attention.npy --keep-tokens 64 --format json \\
          --parameters '{"explain": true}'
      """)

  @OptionGroup var options: OperationOptions
  @OptionGroup(title: "Parameters") var selection: SelectionParameterOptions
  @OptionGroup(title: "Parameters") var common: CommonParameterOptions

  func parameters() throws(InputError) -> GivenParameters {
    try common.given(beside: try selection.members())
  }

  func run() throws { try options.run(.prune, with: parameters) }
}

struct Reselect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Swap kept tokens for pruned ones while the language model decodes.",
    discussion: """
      Takes the kept tokens, a new row of attention and the prefill scores of all tokens; \
      prints the swaps and the new selection, which has the same size.

      EXAMPLES
        crop prune attention.npy --keep-tokens 64 --out kept.json
        crop reselect attention.npy --kept kept.json
        crop reselect attention.npy prefill_scores.npy --kept kept.json \\
          --max-swaps 8 --swap-margin 0.25
      """)

  @OptionGroup var options: OperationOptions
  @OptionGroup(title: "Parameters") var common: CommonParameterOptions

  @Option(
    help: ArgumentHelp("Result of prune or reselect in JSON: the current selection.", valueName: "file"),
    completion: .file())
  var kept: String?

  @Option(help: ArgumentHelp("Most swaps; no limit by default.", valueName: "count"))
  var maxSwaps: Int?

  @Option(help: ArgumentHelp("Share by which a token must outscore the one it replaces.", valueName: "share"))
  var swapMargin: Double?

  @Option(
    help: ArgumentHelp("Weight of the prefill scores relative to the new attention.", valueName: "share"))
  var prefillWeight: Double?

  func validate() throws {
    for (name, value) in [("--swap-margin", swapMargin), ("--prefill-weight", prefillWeight)] {
      if let value, !value.isFinite { throw ValidationError("\(name) must be a number.") }
    }
  }

  func parameters() throws(InputError) -> GivenParameters {
    var own = JSONObject()
    if let kept { own["previous"] = try Self.previous(from: kept) }
    own["max_swaps"] = maxSwaps.map(JSONValue.integer)
    own["swap_margin"] = swapMargin.map(JSONValue.number)
    own["prefill_weight"] = prefillWeight.map(JSONValue.number)
    return try common.given(beside: own)
  }

  /// The `kept_indices` of an answer; of a batch a list of them.
  private static func previous(from path: String) throws(InputError) -> JSONValue {
    let bytes = try readInput(path, named: "--kept \(path)")
    let answer = try jsonObject(String(decoding: bytes, as: UTF8.self), from: "--kept \(path)")
    guard let kept = answer["kept_indices"]?.arrayValue else {
      throw InputError("--kept \(path): has no kept_indices; write it with crop prune --out kept.json")
    }
    guard answer["batched"] == true else { return ["kept_indices": .array(kept)] }
    return .array(kept.map { ["kept_indices": $0] })
  }

  func run() throws { try options.run(.reselect, with: parameters) }
}
