import HTTP1
import JSON
import TensorFormats

extension Endpoints {
  /// `POST /plan`: JSON in, JSON out, no tensors.
  ///
  /// - Parameter timeout: how long that may take, from the body's last byte on.
  static func plan(timeout: Duration?) -> Endpoint {
    Endpoint(method: "POST", route: "/plan", kind: .operation) { context throws(Problem) in
      let deadline = timeout.map { ContinuousClock.now + $0 }
      let format = try BodyFormat.ofRequest(context.request)
      guard format.name == JSONTensorFormat.name else {
        throw Problem(
          .unsupportedFormat, "a plan has only parameters; send \(JSONTensorFormat.mediaTypes[0])")
      }
      var parameters = try context.timing.measure("decode") { () throws(Problem) in
        try object(context.request.body)
      }
      try QueryParameters(context.request.head.query).merge(into: &parameters)
      let given = parameters
      let answer = try context.timing.measure("compute") { () throws(Problem) in
        try PlanOperation.run(given, isOverdue: { deadline.map { ContinuousClock.now >= $0 } ?? false })
      }
      return json(.object(answer))
    }
  }

  private static func object(_ body: [UInt8]) throws(Problem) -> JSONObject {
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(JSONScanner.withoutByteOrderMark(body[...]))
    } catch {
      throw Problem(.malformedBody, "\(error)")
    }
    guard let object = value.objectValue else {
      throw Problem(.malformedBody, "the body must be an object of parameters, not \(value.kindWithArticle)")
    }
    return object
  }
}
