import HTTP1
import JSON
import PruningNumerics
import TensorFormats
import TokenPruning

extension Endpoints {
  /// `POST /compare`: several methods on one image; JSON, or a picture by `Accept`.
  ///
  /// - Parameter timeout: how long that may take, from the body's last byte on.
  static func compare(_ models: ModelStore, timeout: Duration?) -> Endpoint {
    let offers = ["application/json", Answer.pictureType].compactMap { MediaType($0) }
    return Endpoint(method: "POST", route: "/compare", kind: .operation) { context throws(Problem) in
      let deadline = timeout.map { ContinuousClock.now + $0 }
      let request = context.request
      let (document, decodedBytes, format) = try OperationHandler.decoded(
        context, parameterNames: Operation.parameterNames.union(CompareOperation.parameterNames),
        mainTensor: { _ in "image_features" }, deadline: deadline)
      let run = RunContext(models: models.current, request, deadline: deadline)
      let comparison = try context.timing.measure("compute") { () throws(Problem) in
        try CompareOperation.run(document, run, Reservation(request, decodedBytes: decodedBytes))
      }
      context.metrics.recordTokens(
        received: comparison.tokenCount * comparison.entries.count, kept: comparison.keptCount)
      let annotations =
        [Response.Field("format", format.name)]
        + comparison.annotations.map { Response.Field($0.name, $0.value) }
      return try context.timing.measure("encode") { () throws(Problem) in
        let isPicture = request.head.bestOffer(among: offers)?.essence == Answer.pictureType
        var response =
          isPicture
          ? Response(
            status: 200, fields: [Response.Field("Content-Type", Answer.pictureType)],
            body: try comparison.picture(OperationHandler.mustStop(request, deadline)))
          : json(.object(comparison.json))
        response.annotations = annotations
        return response
      }
    }
  }
}
