import ContentCodings
import HTTP1

/// Sends text answers as gzip or deflate to whoever prefers that.
///
/// Tensors go as they are: floating point numbers hardly shrink, and the time would be lost.
enum ResponseCoding {
  /// Below this the saving is about what the wrapper and a network packet cost.
  static let minimumByteCount = 1 << 10
  /// More would take seconds, which no clock ends.
  static let maximumByteCount = 8 << 20

  /// - Returns: how the body was compressed, nil where it was not.
  static func apply(to response: inout Response, for head: RequestHead) -> ContentCoding? {
    guard isEligible(response), !isForPlainReader(head) else { return nil }
    // Also on the plain answer: a cache must not give a coded one to who cannot read it, nor the reverse.
    response.varies(by: "Accept-Encoding")
    guard let coding = head.preferredCoding, let coded = Deflater.encoded(response.body, as: coding),
      coded.count < response.body.count
    else { return nil }
    response.body = coded
    response.isBodyShared = false
    response.fields.append(Response.Field("Content-Encoding", coding.rawValue))
    return coding
  }

  /// Whether the answer describes the models of the Open Inference Protocol: tritonclient's form for asyncio accepts gzip
  /// with every request and undoes it only in those of `/infer`.
  private static func isForPlainReader(_ head: RequestHead) -> Bool {
    head.path.hasPrefix("/v2") && !head.path.hasSuffix("/infer")
  }

  private static func isEligible(_ response: Response) -> Bool {
    guard (minimumByteCount...maximumByteCount).contains(response.body.count), response.status != 204,
      response.status != 304,
      let name = response.fields.first(where: { $0.name == "Content-Type" })?.value,
      let type = MediaType(name)
    else { return false }
    return type.type == "text" || textTypes.contains(type.essence)
  }

  private static let textTypes: Set = [
    "application/json", "application/problem+json", "application/yaml", "image/svg+xml",
  ]
}
