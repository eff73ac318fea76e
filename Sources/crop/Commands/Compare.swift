import ArgumentParser
import JSON
import LearnedNetworks
import PruningService
import TensorFormats
import TokenPruning

struct Compare: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what several pruning methods keep of the same image.",
    discussion: """
      Prints a row for each method and the overlap of each pair: of the tokens that either method keeps, the \
      share that both keep. IN REGION counts kept tokens in the given or found region; SPREAD is 1 if \
      kept tokens are as far apart as all tokens are, and 0 if they are in one place. For a method that cannot \
      run on these tensors the reason is printed.

      EXAMPLES
        crop compare all.safetensors --methods crop,divprune,dart --keep-ratio 0.1
        crop compare all.safetensors --methods crop,fastv --keep-tokens 64 \\
          --image photo.jpg --out compare.svg
        crop compare all.safetensors --keep-tokens 64 --format json \\
          --parameters '{"methods": ["dart", {"method": "divprune"}]}'
      """)

  @Argument(
    help: ArgumentHelp(
      "Tensors: .npy, .npz, .safetensors or .json; - is standard input.", valueName: "files"))
  var files: [String]

  @Option(help: ArgumentHelp("Comma-separated methods; 'crop methods' lists them.", valueName: "names"))
  var methods: String?

  @Option(
    help: ArgumentHelp("Name of the tensor in an .npy file; by default the file's name.", valueName: "name"))
  var tensor: String?

  @Option(help: "Output format: tables, or the result as json.")
  var format = OutputFormat.table

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Also write a picture (.svg) or the result (.json) to a file. -.svg or -.json is standard output, which then "
        + "has nothing else.",
      valueName: "file"))
  var out: String?

  @OptionGroup var photographs: PhotographOptions
  @OptionGroup var learned: ModelOptions
  @OptionGroup(title: "Parameters") var budget: BudgetParameterOptions
  @OptionGroup(title: "Parameters") var common: CommonParameterOptions

  func validate() throws {
    guard photographs.image.isEmpty || out?.hasSuffix(".svg") == true else {
      throw ValidationError("--image is for the picture: give its file with --out FILE.svg.")
    }
    if let out, !out.hasSuffix(".svg"), !out.hasSuffix(".json") {
      throw ValidationError("--out \(out): the name must end in .svg or .json.")
    }
  }

  func run() throws {
    let models = try learned.load()
    try Exit.badInput.unless { () throws(InputError) in
      var own = try budget.members()
      own["methods"] = methods.map(JSONValue.string)
      let names = Operation.parameterNames.union(CompareOperation.parameterNames)
      let given = try common.given(beside: own, among: names)
      var document = try InputFiles.document(paths: files, tensorName: tensor, parameterNames: names)
      document.parameters.merge(given.object)
      let comparison = try given.answered { () throws(Problem) in
        try CompareOperation.run(document, models: models)
      }
      if let out {
        let bytes = try bytes(of: comparison, for: out)
        guard !out.hasPrefix("-.") else { return StandardStreams.writeOutput(bytes) }
        try writeFile(bytes, to: out)
      }
      StandardStreams.writeOutput(
        format == .json ? JSONValue.object(comparison.json).description + "\n" : Self.tables(of: comparison))
    }
  }

  private func bytes(of comparison: Comparison, for path: String) throws(InputError) -> [UInt8] {
    guard path.hasSuffix(".svg") else { return JSONValue.object(comparison.json).serialized() + [0x0a] }
    return comparison.picture(photographs: try photographs.read())
  }

  /// A row for each method, then the overlap of each pair, then why methods could not run.
  static func tables(of comparison: Comparison) -> String {
    var refusals: [String] = []
    let rows = comparison.entries.map { entry -> [String] in
      let milliseconds = fixed(entry.duration / .milliseconds(1))
      guard let kept = entry.kept else {
        if case .failure(let problem) = entry.outcome { refusals.append("\(entry.label): \(problem.line)") }
        return [entry.label, "-", "-", "-", milliseconds]
      }
      return [
        entry.label, "\(kept.count) of \(comparison.tokenCount)",
        comparison.inRegion(kept).map { "\($0)" } ?? "-",
        comparison.spread(kept).map { fixed($0) } ?? "-", milliseconds,
      ]
    }
    var text = TextTable(header: ["METHOD", "KEPT", "IN REGION", "SPREAD", "MILLISECONDS"], rows: rows).text
    let numbers = comparison.entries.indices.map { "(\($0 + 1))" }
    let overlaps = zip(comparison.entries, comparison.overlap).enumerated().map { index, pair in
      ["\(numbers[index]) \(pair.0.label)"] + pair.1.map { $0.map { fixed($0) } ?? "-" }
    }
    text += "\n" + TextTable(header: ["OVERLAP"] + numbers, rows: overlaps).text
    if !refusals.isEmpty { text += "\n" + refusals.joined(separator: "\n") + "\n" }
    return text
  }

  /// With two decimals.
  private static func fixed(_ value: Double) -> String {
    let (whole, rest) = Int((value * 100).rounded()).quotientAndRemainder(dividingBy: 100)
    return "\(whole)." + String(rest + 100).dropFirst()
  }
}
