import ArgumentParser

@main
struct Crop: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crop", abstract: "x", version: Version.current, subcommands: [Serve.self])
}
