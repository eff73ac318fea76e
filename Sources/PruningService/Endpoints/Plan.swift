import HTTP1
import JSON
import PruningNumerics
import TensorFormats

extension Endpoints {
  /// `POST /plan`: JSON in, JSON out, no tensors.
  ///
  /// - Parameter timeout: how long that may take, from the body's last byte on.
  static func plan(timeout: Duration?) -> Endpoint {
    Endpoint(method: "POST", route: "/plan", kind: .operation) { context throws(Problem) in
      let deadline = timeout.map { ContinuousClock.now + $0 }
      let request = context.request
      let format = try BodyFormat.ofRequest(request, context.resolved)
      guard format.name == JSONTensorFormat.name else {
        throw Problem(
          .unsupportedFormat, "a plan has only parameters; send \(JSONTensorFormat.mediaTypes[0])")
      }
      let decodedBytes = format.decodingBytes(of: request.body[...], DecodingHints())
      try OperationHandler.use(decodedBytes, in: request)
      var parameters = try context.timing.measure("decode") { () throws(Problem) in
        try JSONObject(
          ofBody: JSONScanner.withoutByteOrderMark(request.body[...]), maximumValueCount: maximumPlanValues,
          isInterrupted: OperationHandler.interruption(request, deadline))
      }
      try QueryParameters(request.head.query).merge(into: &parameters)
      let given = parameters
      let answer = try context.timing.measure("compute") { () throws(Problem) in
        let limit = StepLimit(
          .max, isAbandoned: request.isAbandoned, isOverdue: OperationHandler.isOverdue(deadline))
        return try PlanOperation.run(given, limit) { bytes throws(Problem) in
          try OperationHandler.use(decodedBytes &+ bytes, in: request)
        }
      }
      return json(.object(answer))
    }
  }

  /// As many as the parameters of the other operations may have.
  private static let maximumPlanValues = 1 << 20
}
