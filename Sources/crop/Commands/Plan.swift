import ArgumentParser
import JSON
import PruningService

struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Count the tokens that prune will keep, from a layout and a budget alone.",
    discussion: """
      Prints the response of POST /plan: counts for every image and stage and, if each tile has its own \
      budget, for every tile.

      EXAMPLES
        crop plan --layout 24x24 --keep-ratio 0.25
        crop plan --keep-tokens 640 \\
          --layout '{"type": "llava_next", "image_size": [640, 480]}'
        crop plan --keep-tokens 64 --parameters '{"budget_scope": "tile",
          "layout": {"type": "internvl", "image_size": [1000, 500]}}'
        crop plan --layout 24x24 --keep-tokens 64 --method fastv --parameters '{
          "model_dimensions": {"hidden": 4096, "layers": 32, "heads": 32,
          "intermediate": 11008, "gated": true}, "break_even": {"tflops": 400}}'
      """)

  @OptionGroup(title: "Parameters") var selection: SelectionParameterOptions
  @OptionGroup(title: "Parameters") var common: CommonParameterOptions

  func run() throws {
    try Exit.badInput.unless { () throws(InputError) in
      let given = try common.given(
        beside: try selection.members(), among: Operation.parameterNames.union(PlanOperation.parameterNames))
      let answer = try given.answered { () throws(Problem) in try PlanOperation.run(given.object) }
      StandardStreams.writeOutput(prettyText(of: .object(answer)))
    }
  }
}
