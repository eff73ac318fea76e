import ArgumentParser
import PruningService

@main
struct Crop: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crop",
    abstract: "Prune the visual tokens of vision-language models.",
    discussion: """
      A vision-language model turns an image into hundreds of visual tokens, though a question usually \
      concerns one part of it. crop finds that part (localize), merges tokens before the language model \
      (compress), or chooses which tokens stay inside it (prune): as a server, or on files.

      EXAMPLES
        crop serve                                  answer requests on port 8080
        crop prune attention.npy --keep-tokens 64   choose tokens by attention
        crop plan --layout 24x24 --keep-ratio 0.25  count tokens before there are any
        crop methods                                list the pruning methods
        crop models weights                         check and list learned models
        crop help prune                             explain one command

      \(Exit.explanation)
      """,
    version: Version.current,
    subcommands: [
      Serve.self, Localize.self, Compress.self, Prune.self, Plan.self, Methods.self, Models.self,
      Healthcheck.self,
    ])
}
