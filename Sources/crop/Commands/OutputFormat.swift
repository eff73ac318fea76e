import ArgumentParser

/// How commands write what they found.
enum OutputFormat: String, CaseIterable, ExpressibleByArgument { case table, json }
