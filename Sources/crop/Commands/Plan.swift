import ArgumentParser
import JSON
import PruningService

struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Count the tokens that prune will keep, from a layout and a budget alone.",
    discussion: """
      Prints the answer of POST /plan: counts for every image and stage and, where each tile has its own \
      budget, for every tile.

      EXAMPLES
        crop plan --layout 24x24 --keep-ratio 0.25
        crop plan --layout '{"type": "llava_next", "image_size": [640, 480]}' --keep-tokens 640
        crop plan --parameters '{"layout": {"type": "internvl", "image_size": [1000, 500]},
                                 "keep_tokens": 64, "budget_scope": "tile"}'
      """)

  @OptionGroup(title: "Parameters") var selection: SelectionParameterOptions
  @OptionGroup(title: "Parameters") var common: CommonParameterOptions

  func run() throws {
    do throws(InputError) {
      var parameters = try common.object(for: .prune)
      try selection.add(to: &parameters)
      StandardStreams.writeOutput(prettyText(of: .object(try Self.answer(parameters))))
    } catch {
      throw Exit.badInput.saying("\(error)")
    }
  }

  static func answer(_ parameters: JSONObject) throws(InputError) -> JSONObject {
    do throws(Problem) {
      return try PlanOperation.run(parameters)
    } catch {
      throw InputError((error.pointer.map { "\($0): " } ?? "") + error.detail)
    }
  }
}
