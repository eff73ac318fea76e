import Parameters
import TokenPruning

/// What to say about a command line that names something that does not exist.
enum UsageHints {
  /// The message of the argument parser with a better hint, where there is one.
  ///
  /// The parser compares whole names, so that it takes `--port` for `--format` and says nothing about `prun`.
  static func improved(_ message: String, arguments: [String], commands: [String]) -> String {
    var lines = message.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    guard let first = lines.first else { return message }
    if let word = arguments.first, !word.hasPrefix("-"), word != "help", !commands.contains(word),
      first.hasPrefix("Error: Un")
    {
      lines[0] = "Error: " + unknownCommand(word, commands: commands)
    } else if let option = quoted(in: first, after: "Unknown option '--"), arguments.first == "serve",
      let hint = flagHint(for: option)
    {
      lines[0] = "Error: Unknown option '--\(option)'. Did you mean \(hint)?"
    }
    return lines.joined(separator: "\n")
  }

  static func unknownCommand(_ word: String, commands: [String]) -> String {
    "Unknown command '\(word)'. "
      + (nearestName(to: word, among: commands).map { "Did you mean '\($0)'?" }
        ?? "There are \(commands.joined(separator: ", ")).")
  }

  /// Flags that end in the word, such as `--http-port` for `port`; nil when there are none or too many.
  private static func flagHint(for word: String) -> String? {
    let flags = Setting.all.map(\.flag).filter { $0.hasSuffix("-\(word)") }
    return (1...3).contains(flags.count) ? flags.map { "'--\($0)'" }.joined(separator: " or ") : nil
  }

  private static func quoted(in line: String, after opening: String) -> String? {
    guard let range = line.firstRange(of: opening) else { return nil }
    let rest = line[range.upperBound...]
    guard let end = rest.firstIndex(of: "'") else { return nil }
    return String(rest[..<end])
  }
}
