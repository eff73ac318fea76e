import HTTP1
import PruningNumerics
import TensorFormats
import Tensors
import TokenPruning

/// Answers inference requests: the operations, with bodies and responses of the Open Inference Protocol.
struct InferenceHandler: Sendable {
  let models: ModelStore
  let statistics: InferenceStatistics
  let regions: SharedRegions
  /// How long reading and computing a request may take.
  let timeout: Duration?

  private static let jsonLengthField = "Inference-Header-Content-Length"

  func infer(_ model: InferenceModel, _ context: Endpoint.Context) throws(Problem) -> Response {
    let start = ContinuousClock.now
    do throws(Problem) {
      let (response, images) = try respond(model, context, since: start)
      statistics.record(model, images: images, context.timing, total: ContinuousClock.now - start)
      return response
    } catch {
      statistics.record(model, images: nil, context.timing, total: ContinuousClock.now - start)
      throw error
    }
  }

  private func respond(
    _ model: InferenceModel, _ context: Endpoint.Context, since start: ContinuousClock.Instant
  ) throws(Problem) -> (Response, images: Int) {
    let (request, decodedBytes) = try context.timing.measure("decode") { () throws(Problem) in
      try read(context, deadline: timeout.map { start + $0 })
    }
    let given = request.timeout.map { Duration.microseconds($0) }
    let deadline = [timeout, given].compactMap { $0 }.min().map { start + $0 }
    let run = RunContext(models: models.current, context.request, deadline: deadline)
    var held = 0
    let answer = try context.timing.measure("compute") { () throws(Problem) -> Answer in
      let reservation = Reservation(decodedBytes: decodedBytes, threads: context.request.threadCount) {
        bytes throws(Problem) in
        held = bytes
        try OperationHandler.use(bytes, in: context.request)
      }
      return try model.operation.run(request.document, run, reservation)
    }
    context.metrics.recordTokens(received: answer.tokenCount, kept: answer.keptCount)
    let encoded = try context.timing.measure("encode") { () throws(Problem) in
      let tensors = answer.namedTensors(includingIndices: true)
      try Self.reserveStacked(tensors, run, beside: held, in: context.request)
      return try write(
        answer, tensors, to: request, model, OperationHandler.mustStop(context.request, deadline))
    }
    let isJSON = encoded.jsonByteCount == nil
    var fields = [Response.Field("Content-Type", isJSON ? "application/json" : "application/octet-stream")]
    if let count = encoded.jsonByteCount {
      fields.append(Response.Field(Self.jsonLengthField, String(count)))
    }
    let response = Response(
      status: 200, fields: fields, body: encoded.body,
      annotations: [Response.Field("format", "v2")] + answer.annotations)
    return (response, answer.samples.count)
  }

  /// The request, and how much memory it takes beside its body.
  private func read(
    _ context: Endpoint.Context, deadline: ContinuousClock.Instant?
  ) throws(Problem) -> (InferenceRequest, decodedBytes: Int) {
    try context.resolved.query.get().requireNone()
    if let format = try context.resolved.declaration.get().format, format.name != JSONTensorFormat.name {
      throw Problem(
        .unsupportedFormat,
        "an inference request is JSON, with binary data behind it if \(Self.jsonLengthField) says so; "
          + "send application/json or application/octet-stream")
    }
    let body = context.request.body[...]
    let jsonByteCount = try Self.jsonByteCount(of: context.request.head)
    if let refusal = TensorFormats.refusedByName(prefix: body.prefix(16)) {
      throw Problem(.unsupportedFormat, refusal)
    }
    let hints = DecodingHints(
      parameterNames: Operation.parameterNames,
      isInterrupted: OperationHandler.interruption(context.request, deadline))
    let decodedBytes = InferenceRequest.decodingBytes(of: body, jsonByteCount: jsonByteCount, hints)
    try OperationHandler.use(decodedBytes, in: context.request)
    let parsed = try TensorFormatError.asProblem(
      try InferenceBody(body, jsonByteCount: jsonByteCount, isInterrupted: hints.isInterrupted))
    let (shared, sharedBytes) = try contents(of: parsed.regions, decodedBytes: decodedBytes, context)
    let request = try TensorFormatError.asProblem(try parsed.request(shared: shared, hints))
    var bytes = decodedBytes + sharedBytes
    try OperationHandler.useReordered(request.document, beside: &bytes, in: context.request)
    return (request, bytes)
  }

  /// Copies what lies in shared memory, which counts as if it had come in the body.
  private func contents(
    of wanted: [InferenceRegion], decodedBytes: Int, _ context: Endpoint.Context
  ) throws(Problem) -> ([[UInt8]], byteCount: Int) {
    guard !wanted.isEmpty else { return ([], 0) }
    var byteCount = 0
    for region in wanted {
      let (sum, overflow) = byteCount.addingReportingOverflow(region.byteCount)
      guard !overflow, sum <= context.resolved.maximumBodyBytes else {
        throw Problem(
          .bodyTooLarge,
          Problem.bodyLimit(context.resolved.maximumBodyBytes, "what the inputs have in shared memory"))
      }
      byteCount = sum
    }
    let extents = try wanted.map { region throws(Problem) in try extent(of: region) }
    try OperationHandler.use(decodedBytes + byteCount, in: context.request)
    return (
      try extents.map { extent throws(Problem) in try SharedMemoryError.asProblem(try extent.bytes()) },
      byteCount
    )
  }

  private func extent(of region: InferenceRegion) throws(Problem) -> SharedExtent {
    do throws(SharedMemoryError) {
      guard let registered = try regions.region(region.name) else {
        throw SharedMemoryError.unknownName(FieldValue.sanitized(region.name, maximumBytes: 80))
      }
      return try registered.extent.part(offset: region.offset, byteCount: region.byteCount)
    } catch {
      throw Problem(error)
    }
  }

  /// Asks for the memory of tensors in which all images are as long as the longest, before they are made.
  private static func reserveStacked(
    _ tensors: [(name: String, tensor: Tensor)], _ run: RunContext, beside held: Int, in request: Request
  ) throws(Problem) {
    let byteCount = InferenceResponse.stackedByteCount(tensors)
    guard byteCount > 0 else { return }
    try PruningError.asProblem(try run.stepLimit.reserveAnswer(bytes: byteCount))
    // Once as tensors and once in the body.
    try OperationHandler.use(held + 2 * byteCount, in: request)
  }

  private func write(
    _ answer: Answer, _ tensors: [(name: String, tensor: Tensor)], to request: InferenceRequest,
    _ model: InferenceModel,
    _ mustStop: @escaping Interruption
  ) throws(Problem) -> InferenceResponse {
    // Looked up before anything is written, so that a name that does not exist leaves no output half done.
    let extents = try (request.outputs ?? []).compactMap(\.region).map { region throws(Problem) in
      (region: region, extent: try extent(of: region))
    }
    let response: InferenceResponse
    do throws(TensorFormatError) {
      response = try InferenceResponse(
        to: request, model: model.name, version: InferenceModel.version,
        tensors, response: answer.members(includingIndices: false), isInterrupted: mustStop)
    } catch {
      throw error.kind == .interrupted ? .writingTookTooLong : Problem(error)
    }
    for (part, target) in zip(response.shared, extents) {
      try SharedMemoryError.asProblem(try target.extent.write(part.bytes))
    }
    return response
  }

  /// Of the binary tensor data extension: how many bytes of the body are JSON; nil without that field.
  private static func jsonByteCount(of head: RequestHead) throws(Problem) -> Int? {
    let values = head.fields.values(jsonLengthField.lowercased())
    guard let first = values.first else { return nil }
    let text = String(decoding: first, as: UTF8.self)
    guard values.count == 1, !text.isEmpty, text.utf8.count <= 18,
      text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let count = Int(text)
    else {
      throw Problem(.malformedBody, "\(jsonLengthField) must be a single number of bytes")
    }
    guard count > 0 else {
      throw Problem(
        .malformedBody,
        "\(jsonLengthField) must not be 0: the JSON describes the tensors")
    }
    return count
  }
}
