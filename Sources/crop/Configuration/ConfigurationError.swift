/// What is wrong with the configuration, everything found at once, each line naming its source.
struct ConfigurationError: Error, Equatable, CustomStringConvertible {
  let problems: [String]

  init(_ problems: [String]) { self.problems = problems }

  init(_ problem: String) { problems = [problem] }

  var description: String { problems.joined(separator: "\n") }
}
