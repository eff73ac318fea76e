import HTTP1
public import JSON
public import TensorFormats
public import Tensors

/// What an operation answers, before it takes the form of a wire format.
public struct Answer: Sendable {
  /// One image's part.
  public struct Sample: Sendable {
    /// Members in a row: those of this answer alone, or those that others have as well.
    enum Part: Sendable {
      case own(JSONObject)
      case prepared(PreparedMembers)

      var object: JSONObject {
        switch self {
        case .own(let object): object
        case .prepared(let members): members.object
        }
      }
    }

    let parts: [Part]
    public var members: JSONObject {
      if case .own(let object)? = parts.first, parts.count == 1 { return object }
      return JSONObject(distinctMembers: parts.flatMap { $0.object.members })
    }
    /// Lists of token indices: members in JSON, I64 tensors in binary formats.
    public var indices: [(name: String, values: [Int])]
    public var tensors: [(name: String, tensor: Tensor)]
    public let tokenCount: Int
    public let keptCount: Int
    /// What a picture shows beside the indices.
    public var scene = Scene()

    public init(
      members: JSONObject, indices: [(name: String, values: [Int])] = [],
      tensors: [(name: String, tensor: Tensor)] = [], tokenCount: Int, keptCount: Int
    ) {
      self.init([.own(members)], indices, tensors, tokenCount: tokenCount, keptCount: keptCount)
    }

    /// - Parameter parts: no two members have the same name.
    init(
      _ parts: [Part], _ indices: [(name: String, values: [Int])],
      _ tensors: [(name: String, tensor: Tensor)] = [], tokenCount: Int, keptCount: Int
    ) {
      self.parts = parts
      self.indices = indices
      self.tensors = tensors
      self.tokenCount = tokenCount
      self.keptCount = keptCount
    }
  }

  public var samples: [Sample]
  /// Members become lists with one entry per image.
  public let isBatched: Bool
  /// Which method or mode made it; the same for all images.
  public let shared: JSONObject
  /// How the request's tensors were read; the last members of an answer.
  let reading: PreparedMembers

  public var tokenCount: Int { samples.reduce(0) { $0 + $1.tokenCount } }
  public var keptCount: Int { samples.reduce(0) { $0 + $1.keptCount } }
  public var carriesFeatures: Bool { samples.contains { !$0.tensors.isEmpty } }

  /// Everything but the tensors, and but the index lists where these are tensors too, as one object.
  func members(includingIndices: Bool) -> JSONObject {
    var result = shared
    var names: [String] = []
    let objects = samples.map { sample -> JSONObject in
      var object = JSONObject()
      if includingIndices {
        for (name, values) in sample.indices { object[name] = .list(values) }
      }
      for member in sample.members.members { object[member.name] = member.value }
      for name in object.names where !names.contains(name) { names.append(name) }
      return object
    }
    for name in names {
      result[name] = isBatched ? .array(objects.map { $0[name] ?? .null }) : objects[0][name]
    }
    result.append(reading.object)
    return result
  }

  /// The answer as JSON members, tensors left out.
  public var json: JSONObject { members(includingIndices: true) }

  /// Whether `format` has room for the answer: npy holds one tensor, so it cannot answer for several images.
  func fits(_ format: any AnswerFormat.Type) -> Bool {
    format.name != NPYFormat.name
      || (samples.count == 1 && !(samples[0].tensors.isEmpty && samples[0].indices.isEmpty))
  }

  /// The answer's bytes in `format`.
  ///
  /// - Parameter isInterrupted: asked between images and every few thousand numbers: once true, the answer is given up.
  public func encoded(
    as format: any AnswerFormat.Type, isInterrupted: Interruption? = nil
  ) throws(Problem) -> [UInt8] {
    var bytes: [UInt8] = []
    try encode(as: format, into: &bytes, isInterrupted)
    return bytes
  }

  /// Writes the answer in `format` into an empty array. The tensors of image i of a batch are called `name.i`, which JSON writes
  /// as a list `name`.
  func encode(
    as format: any AnswerFormat.Type, into bytes: inout [UInt8], _ isInterrupted: Interruption? = nil
  ) throws(Problem) {
    guard fits(format) else {
      throw Problem(
        .unsupportedFormat,
        "\(format.name) holds one tensor, and this response has \(samples.count) images; request "
          + SafetensorsFormat.mediaTypes[0])
    }
    let isJSON = format.name == JSONTensorFormat.name
    if isJSON, !isBatched, !carriesFeatures { return write(to: &bytes) }
    let tensors = namedTensors(includingIndices: !isJSON)
    do throws(TensorFormatError) {
      bytes = try format.encode(
        tensors, response: members(includingIndices: isJSON), isInterrupted: isInterrupted)
    } catch {
      throw error.kind == .interrupted ? .writingTookTooLong : Problem(error)
    }
  }

  func encode(
    as form: BodyFormat.ResponseForm, into bytes: inout [UInt8], _ isInterrupted: Interruption? = nil
  ) throws(Problem) {
    switch form {
    case .tensors(let format): try encode(as: format, into: &bytes, isInterrupted)
    case .picture: bytes = try picture(isInterrupted)
    }
  }

  /// Whether it may take more than a few milliseconds to write.
  var isLong: Bool {
    samples.count > 16 || tokenCount > 1 << 13 || samples.contains { !$0.tensors.isEmpty }
  }

  /// The same as JSON about one image, member by member as ``json`` has them.
  private func write(to bytes: inout [UInt8]) {
    var buffer: [UInt8] = []
    swap(&buffer, &bytes)
    var writer = JSONWriter(appendingTo: consume buffer)
    writer.beginObject()
    writer.writeMembers(of: shared)
    for (name, values) in samples[0].indices {
      writer.name(name)
      writer.write(values)
    }
    for part in samples[0].parts {
      switch part {
      case .own(let object): writer.writeMembers(of: object)
      case .prepared(let members): writer.writeMembers(members.text)
      }
    }
    writer.writeMembers(reading.text)
    writer.endObject()
    bytes = writer.takeBytes()
  }

  /// The tensors of image i of a batch are called `name.i`.
  ///
  /// Features come first: a format with room for one tensor (npy) takes the first of the list.
  func namedTensors(includingIndices: Bool) -> [(name: String, tensor: Tensor)] {
    var tensors: [(name: String, tensor: Tensor)] = []
    var indices: [(name: String, tensor: Tensor)] = []
    for (index, sample) in samples.enumerated() {
      let suffix = isBatched ? ".\(index)" : ""
      for (name, tensor) in sample.tensors { tensors.append((name + suffix, tensor)) }
      guard includingIndices else { continue }
      for (name, values) in sample.indices { indices.append((name + suffix, Self.indexTensor(values))) }
    }
    return tensors + indices
  }

  /// Facts for the access log.
  var annotations: [Response.Field] {
    var fields: [Response.Field] = []
    for name in ["method", "mode", "source"] {
      if let value = shared[name]?.stringValue { fields.append(Response.Field("pruning_\(name)", value)) }
    }
    fields.append(Response.Field("images", String(samples.count)))
    fields.append(Response.Field("tokens", String(tokenCount)))
    fields.append(Response.Field("kept", String(keptCount)))
    return fields
  }

  private static func indexTensor(_ values: [Int]) -> Tensor {
    do {
      return try Tensor.int64(values, shape: Shape([values.count]))
    } catch {
      preconditionFailure("a list's shape is its own count: \(error)")
    }
  }
}
