import HTTP1
import TensorFormats

/// Which wire format a request is in, and which one its answer takes.
enum BodyFormat {
  /// What clients send when they were not told: `curl --data-binary` says urlencoded, `requests` says nothing.
  /// The first bytes decide then.
  private static let genericTypes: Set<String> = [
    "application/octet-stream", "application/x-www-form-urlencoded", "binary/octet-stream",
  ]

  /// Rejects on the head what would be rejected after the body anyway.
  ///
  /// - Returns: the coding to undo while the body comes.
  static func checkHead(
    _ head: RequestHead, framing: BodyFraming, _ declaration: Result<Declaration, Problem>
  ) throws(Problem) -> ContentCoding? {
    guard framing != .none else { throw noBody }
    _ = try declaration.get()
    if case .shared = framing, head.fields.contains("content-encoding") {
      throw Problem(
        .unsupportedFormat, "a body in shared memory must not have a Content-Encoding; send it uncompressed")
    }
    do throws(UnsupportedContentCoding) {
      return try head.contentCoding()
    } catch {
      throw Problem(
        .unsupportedFormat,
        "content coding '\(FieldValue.sanitized(error.name, maximumBytes: 40))' is not supported; "
          + "send the body uncompressed, or with one of \(ContentCoding.names)",
        fields: [Response.Field("Accept-Encoding", ContentCoding.names)])
    }
  }

  /// What a head says of its body.
  struct Declaration: Sendable {
    /// nil where the first bytes decide.
    let format: (any TensorFormat.Type)?
    /// What separates the parts of a form.
    let boundary: String?

    /// - Parameter head: nil says nothing.
    init(_ head: RequestHead?) throws(Problem) {
      let type: MediaType? = if let head { try explicitType(head) } else { nil }
      format = try type.map { (type) throws(Problem) in
        guard let format = TensorFormats.named(mediaType: type.essence) else {
          throw unsupported(type.essence)
        }
        return format
      }
      boundary = type?.parameter("boundary")
    }
  }

  /// The format to decode the body with.
  static func ofRequest(_ request: Request, _ head: ResolvedHead) throws(Problem) -> any TensorFormat.Type {
    guard !request.body.isEmpty else { throw noBody }
    let prefix = request.body.prefix(16)
    if let format = try head.declaration.get().format {
      if !format.matches(prefix), let refusal = TensorFormats.refusedByName(prefix: prefix) {
        throw Problem(.unsupportedFormat, refusal)
      }
      return format
    }
    if let format = TensorFormats.sniff(prefix) { return format }
    throw Problem(
      .unsupportedFormat,
      TensorFormats.refusedByName(prefix: prefix)
        ?? "the body's first bytes match none of \(TensorFormats.all.map { $0.name }.joined(separator: ", ")); send \(mediaTypes)"
        + (alteringHint(request) ?? ""))
  }

  /// What separates the parts of a form; nil for every other format.
  static func boundary(_ head: ResolvedHead, _ format: any TensorFormat.Type) -> String? {
    guard format.name == MultipartFormat.name, case .success(let declaration) = head.declaration else {
      return nil
    }
    return declaration.boundary
  }

  /// What `curl -d` does to binary files, for the error about a body that bears its marks.
  static func alteringHint(_ request: Request) -> String? {
    guard request.head.contentType?.essence == "application/x-www-form-urlencoded",
      !request.body.contains(where: { $0 == 0 || $0 == 0x0a || $0 == 0x0d })
    else { return nil }
    return
      "; curl -d removes line ends and zero bytes: send files with --data-binary @file, and JSON with --json"
  }

  /// What an answer is sent as.
  enum ResponseForm {
    case tensors(any AnswerFormat.Type)
    case picture

    var mediaType: String {
      switch self {
      case .tensors(let format): format.mediaTypes[0]
      case .picture: Answer.pictureType
      }
    }
  }

  /// The form of the answer: by Accept; where Accept leaves it open, binary to whoever sent binary if the
  /// answer holds feature tensors, JSON otherwise. Formats without room for the answer are not offered.
  static func ofResponse(
    to head: RequestHead, requestFormat: any TensorFormat.Type, _ answer: Answer
  ) -> ResponseForm {
    let json: any AnswerFormat.Type = JSONTensorFormat.self
    let preferred = (answer.carriesFeatures ? requestFormat as? any AnswerFormat.Type : nil) ?? json
    let first = answer.fits(preferred) ? preferred : json
    guard !head.takesFirstOffer(first.mediaTypes[0]) else { return .tensors(first) }
    let rest = TensorFormats.answers.filter { $0.name != preferred.name }
    let fitting = ([preferred] + rest).filter { answer.fits($0) }.map { $0.mediaTypes }
    // Other names of a format come last: they are for clients that name one, not a way around `application/json;q=0`.
    let names = fitting.map { $0[0] } + fitting.flatMap { $0.dropFirst() } + [Answer.pictureType]
    let offers = names.compactMap { parsedTypes[$0] }
    // Nothing acceptable: an answer in another type serves the client better than 406 (RFC 9110 section 15.5.7).
    guard let best = head.bestOffer(among: offers) else { return .tensors(json) }
    guard best.essence != Answer.pictureType else { return .picture }
    return .tensors(TensorFormats.named(mediaType: best.essence) as? any AnswerFormat.Type ?? json)
  }

  private static let parsedTypes: [String: MediaType] = {
    let names = TensorFormats.answers.flatMap { $0.mediaTypes } + [Answer.pictureType]
    return Dictionary(uniqueKeysWithValues: names.compactMap { name in MediaType(name).map { (name, $0) } })
  }()

  private static func explicitType(_ head: RequestHead) throws(Problem) -> MediaType? {
    guard head.fields.contains("content-type") else { return nil }
    // Written as it is listed, as most are, it needs no parsing.
    if let written = head.fields.single("content-type"),
      let known = listedTypes.first(where: {
        $0.text.count == written.count && written.elementsEqual($0.text)
      })
    {
      return known.type
    }
    guard let type = head.contentType else {
      throw Problem(.unsupportedFormat, "Content-Type is not a media type; send \(mediaTypes)")
    }
    return genericTypes.contains(type.essence) ? nil : type
  }

  /// Media types without parameters, and what ``explicitType(_:)`` makes of them.
  private static let listedTypes: [(text: [UInt8], type: MediaType?)] =
    (genericTypes.sorted() + TensorFormats.all.flatMap { $0.mediaTypes }).map { name in
      (Array(name.utf8), genericTypes.contains(name) ? nil : MediaType(name))
    }

  private static var noBody: Problem {
    Problem(.bodyRequired, "the request has no body; send tensors as \(mediaTypes)")
  }

  private static func unsupported(_ essence: String) -> Problem {
    Problem(
      .unsupportedFormat,
      TensorFormats.refusedByName(mediaType: essence)
        ?? "Content-Type '\(FieldValue.sanitized(essence, maximumBytes: 80))' is not supported; send \(mediaTypes)",
      fields: [Response.Field("Accept", mediaTypes)])
  }

  private static var mediaTypes: String { TensorFormats.all.map { $0.mediaTypes[0] }.joined(separator: ", ") }
}
