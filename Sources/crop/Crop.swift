import ArgumentParser
import FoundationEssentials
import PruningService

@main
struct Crop: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crop",
    abstract: "Prune the visual tokens of vision-language models.",
    discussion: """
      A vision-language model turns an image into hundreds of visual tokens, but a question usually \
      concerns only one part of it. crop finds that part (localize), merges tokens before the language model \
      (compress), chooses the tokens to keep (prune), and changes the choice while the answer is \
      generated (reselect), as a server or on files.

      EXAMPLES
        crop serve                                  answer requests on port 8080
        crop prune attention.npy --keep-tokens 64   choose tokens by attention
        crop compare all.npz --methods crop,fastv --keep-tokens 64
                                                    see what methods keep
        crop plan --layout 24x24 --keep-ratio 0.25  count tokens without tensors
        crop methods                                list the pruning methods
        crop models weights                         check and list learned models
        crop help prune                             explain one command
        crop --version --verbose                    show libraries and processors

      CROP_CPU_LEVEL=baseline, v3 or v4 (x86-64), or neon (arm64) sets the processor level of any command; \
      the default is the best available.

      \(Exit.explanation)
      """,
    version: Version.current,
    subcommands: [
      Serve.self, Localize.self, Compress.self, Prune.self, Reselect.self, Compare.self, Plan.self,
      Methods.self, Models.self, PlanCapacity.self, Healthcheck.self,
    ])
  static func main() {
    // Before anything else: whoever starts a server may stop it at once.
    Signals.hold(Signals.ofServer)
    do {
      guard !VersionReport.isAskedFor(by: Array(CommandLine.arguments.dropFirst())) else {
        try chooseCPULevel()
        StandardStreams.writeOutput(VersionReport.text)
        return
      }
      try checkHelp()
      var command = try parseAsRoot()
      // The server's settings come from more places, and it chooses when it knows them all.
      if !(command is Serve) {
        Signals.release(Signals.ofServer)
        try chooseCPULevel()
      }
      try command.run()
    } catch {
      end(with: error)
    }
  }

  private static var commandNames: [String] { configuration.subcommands.map { $0._commandName } }

  /// `crop help prun` would explain the whole program, as if that had been asked for.
  private static func checkHelp() throws {
    let words = CommandLine.arguments.dropFirst()
    guard words.first == "help", let name = words.dropFirst().first, !name.hasPrefix("-"), name != "help",
      !commandNames.contains(name)
    else { return }
    throw ValidationError(UsageHints.unknownCommand(name, commands: commandNames))
  }

  /// Says what ended the program, on standard output where that is what was asked for, such as help.
  private static func end(with error: any Error) -> Never {
    let code = exitCode(for: error)
    let message = UsageHints.improved(
      fullMessage(for: error), arguments: Array(CommandLine.arguments.dropFirst()), commands: commandNames)
    if !message.isEmpty {
      let text = message + "\n"
      if code.isSuccess { StandardStreams.writeOutput(text) } else { StandardStreams.writeError(text) }
    }
    endProcess(code)
  }

  private static func chooseCPULevel() throws(ExitCode) {
    do {
      try CPULevel.choose(from: ProcessInfo.processInfo.environment)
    } catch {
      throw Exit.badConfiguration.saying("\(error)")
    }
  }
}
