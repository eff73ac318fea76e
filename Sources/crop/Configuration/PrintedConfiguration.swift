import JSON

extension ResolvedConfiguration {
  /// What `--print-config` shows: one line per setting with its value and where that came from, then what the numbers of
  /// threads come to on this machine.
  func table(for processors: ProcessorBudget) -> String {
    let rows = entries.map { [$0.key, $0.text, $0.origin.description] }
    let decided = threads(for: processors).map { "\($0.key) \($0.count)" }.joined(separator: ", ")
    return TextTable(header: ["SETTING", "VALUE", "FROM"], rows: rows).text
      + "\nthreads: \(decided) (processors: \(processors.explanation))\n"
  }

  private func threads(for processors: ProcessorBudget) -> [(key: String, count: Int)] {
    [
      ("event-loops", configuration.eventLoopCount(processors: processors.count)),
      ("compute-threads", configuration.computeThreadCount(processors: processors.count)),
    ]
  }

  /// The same for programs: `{"http.port": {"value": "8080", "from": "default"}, ...}`; a number of threads says in
  /// `effective` what 0 stands for here, and in `because` why.
  func json(for processors: ProcessorBudget) -> JSONObject {
    var object = JSONObject()
    for entry in entries {
      object[entry.key] = [
        "value": .string(entry.text), "from": .string(entry.origin.description),
      ]
    }
    for (key, count) in threads(for: processors) {
      guard var entry = object[key]?.objectValue else { continue }
      entry["effective"] = .integer(count)
      if entry["value"]?.stringValue == "0" { entry["because"] = .string(processors.explanation) }
      object[key] = .object(entry)
    }
    return object
  }
}
