import JSON

extension ResolvedConfiguration {
  /// What `--print-config` shows: one line per setting with its value and where that came from.
  var table: String {
    let rows = entries.map { [$0.key, $0.text, $0.origin.description] }
    return TextTable(header: ["SETTING", "VALUE", "FROM"], rows: rows).text
  }

  /// The same for programs: `{"http.port": {"value": "8080", "from": "default"}, ...}`.
  var json: JSONObject {
    var object = JSONObject()
    for entry in entries {
      object[entry.key] = [
        "value": .string(entry.text), "from": .string(entry.origin.description),
      ]
    }
    return object
  }
}
