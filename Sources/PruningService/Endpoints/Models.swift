import HTTP1
public import JSON
public import LearnedNetworks
import TokenPruning

extension Endpoints {
  static func models(_ store: ModelStore) -> Endpoint {
    Endpoint(method: "GET", route: "/models", kind: .information) { _ in
      json(["models": store.current.json])
    }
  }
}

extension ModelSet {
  /// What `GET /models` and `crop models --format json` list, ascending by name.
  public var json: JSONValue {
    .array(
      all.map { name, model in
        [
          "name": .string(name), "kind": .string(model.configuration.kind.rawValue),
          "parameters": .integer(model.parameterCount), "config": .object(model.configuration.json),
        ]
      })
  }
}
