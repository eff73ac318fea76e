import HTTP1
import JSON
import TensorFormats
import Tensors
import TokenPruning

extension Endpoints {
  /// `POST /localize`, `/compress` or `/prune`: decode, compute, encode.
  ///
  /// - Parameter timeout: how long that may take, from the body's last byte on.
  static func operation(_ operation: Operation, _ models: ModelStore, timeout: Duration?) -> Endpoint {
    Endpoint(method: "POST", route: "/\(operation.rawValue)", kind: .operation) { context throws(Problem) in
      let deadline = timeout.map { ContinuousClock.now + $0 }
      let format = try BodyFormat.ofRequest(context.request)
      let query = try QueryParameters(context.request.head.query)
      try query.requireFit(with: format)
      let hints = DecodingHints(
        parameterNames: Operation.parameterNames,
        tensorName: query.tensorName ?? operation.mainTensor(of: query.methodName),
        elementType: query.elementType, boundary: BodyFormat.boundary(of: context.request, format),
        zipCoding: .zlib, maximumDecodedBytes: context.maximumBodyBytes)
      let decodedBytes = format.decodingBytes(of: context.request.body[...], hints)
      try use(decodedBytes, in: context.request)
      let document = try context.timing.measure("decode") { () throws(Problem) in
        try decode(context.request, as: format, hints, query)
      }
      let models = models.current
      let isAbandoned = context.request.isAbandoned
      let sharing = WorkSharing(context.request.share)
      let answer = try context.timing.measure("compute") { () throws(Problem) in
        try operation.run(
          document, models: models, isAbandoned: isAbandoned,
          isOverdue: { deadline.map { ContinuousClock.now >= $0 } ?? false }, sharing: sharing,
          useMemory: { document, batch throws(Problem) in
            let need = MemoryNeed(
              operation, document, batch, decodedBytes: decodedBytes, threads: context.request.threadCount)
            try use(need.total, in: context.request)
          })
      }
      context.metrics.recordTokens(received: answer.tokenCount, kept: answer.keptCount)
      let encoded = try context.timing.measure("encode") { () throws(Problem) in
        let form = BodyFormat.ofResponse(
          to: context.request.head, requestFormat: format, answer)
        return try (form.mediaType, answer.encoded(as: form))
      }
      let annotations = [Response.Field("format", format.name)] + answer.annotations
      if encoded.0 == JSONTensorFormat.mediaTypes[0] {
        context.memory?.learn(from: document, in: context.request.body, answer, encoded.1, annotations)
      }
      return Response(
        status: 200, fields: [Response.Field("Content-Type", encoded.0)], body: encoded.1,
        annotations: annotations)
    }
  }

  /// Has the request hold memory before it takes it.
  private static func use(_ bytes: Int, in request: Request) throws(Problem) {
    switch request.useMemory(bytes) {
    case .granted: break
    case .exceeds(let limit):
      throw Problem(
        .bodyTooLarge,
        "computing this takes up to \(bytes) bytes of memory, and there are \(limit); send fewer or smaller tensors, "
          + "or raise --max-in-flight-bytes")
    case .notNow:
      throw Problem(
        .overloaded,
        "other requests hold the memory that this one needs; --max-in-flight-bytes sets the limit",
        fields: Problem.retryAfter)
    }
  }

  private static func decode(
    _ request: Request, as format: any TensorFormat.Type, _ hints: DecodingHints, _ query: QueryParameters
  ) throws(Problem) -> TensorDocument {
    var document: TensorDocument
    do throws(TensorFormatError) {
      document = try format.decode(request.body[...], hints)
    } catch {
      var error = error
      if format.name != JSONTensorFormat.name { error.message += BodyFormat.alteringHint(request) ?? "" }
      throw Problem(error)
    }
    if format.name == NPYFormat.name, query.tensorName == nil, let name = document.tensors.names.first,
      case .one(let tensor)? = document.tensors[name]
    {
      try AmbiguousReading.refuseUnnamed(tensor, readAs: name)
    }
    try query.merge(into: &document.parameters)
    return document
  }
}
