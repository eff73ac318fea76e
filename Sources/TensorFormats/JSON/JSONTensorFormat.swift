public import JSON
public import Tensors

/// JSON: one object whose members are tensors and parameters side by side.
///
/// A tensor is a nested array of numbers (F32), an object `{"dtype", "shape", "data"}` with flat or nested
/// numbers, or an object `{"dtype", "shape", "base64"}` with little-endian bytes. A list of tensors is an
/// array of such objects, or a nested array whose first inner axis varies in length.
public enum JSONTensorFormat: AnswerFormat {
  public static let name = "json"
  public static let mediaTypes = ["application/json", "text/json"]

  public static func matches(_ prefix: ArraySlice<UInt8>) -> Bool {
    var scanner = JSONScanner(JSONScanner.withoutByteOrderMark(prefix))
    let first = scanner.peek()
    // Text in UTF-16 is rejected by name when it is read.
    return first == UInt8(ascii: "{") || first == UInt8(ascii: "[") || JSONScanner.isWide(prefix)
  }

  public static func decode(
    _ body: ArraySlice<UInt8>, _ hints: DecodingHints
  ) throws(TensorFormatError) -> TensorDocument {
    var reader = JSONTensorReader(body)
    return try reader.readDocument(hints)
  }

  /// Numbers take up to eight bytes each, twice while their array grows; text in base64 is decoded; parameters become
  /// values of some hundred bytes.
  public static func decodingBytes(of body: ArraySlice<UInt8>, _ hints: DecodingHints) -> Int {
    // Small bodies are not worth a look.
    guard body.count > 4 << 10 else { return 32 * body.count }
    let values = 1 + body.withUnsafeBytes(separatorCount)
    return body.count + 16 * values + 160 * min(values, JSONTensorReader.maximumParameterValueCount)
  }

  /// Commas, opening brackets and colons: in front of every value but the first stands one.
  ///
  /// Sixteen bytes at a time in a register, which every processor level has.
  static func separatorCount(_ bytes: UnsafeRawBufferPointer) -> Int {
    typealias Sixteen = SIMD16<UInt8>
    let (comma, bracket) = (Sixteen(repeating: UInt8(ascii: ",")), Sixteen(repeating: UInt8(ascii: "[")))
    let colon = Sixteen(repeating: UInt8(ascii: ":"))
    let pieces = bytes.count / 16
    var count = 0
    var piece = 0
    while piece < pieces {
      var sums = Sixteen.zero
      // A byte of the sums counts up to 255.
      let end = min(piece + 255, pieces)
      while piece < end {
        let some = bytes.loadUnaligned(fromByteOffset: piece &* 16, as: Sixteen.self)
        // All bits of a byte that is equal are ones, which is one less than none. No byte is both.
        sums &-= unsafeBitCast((some .== comma) .| (some .== bracket) .| (some .== colon), to: Sixteen.self)
        piece &+= 1
      }
      for lane in sums.indices { count &+= Int(sums[lane]) }
    }
    for byte in bytes[(pieces * 16)...] {
      let separates =
        byte == UInt8(ascii: ",") || byte == UInt8(ascii: "[") || byte == UInt8(ascii: ":")
      count += separates ? 1 : 0
    }
    return count
  }

  /// Writes the response's members, then the tensors: I64 as plain nested arrays, which is how indices are
  /// read, every other type as `{"dtype", "shape", "data"}` with flat data. `name.0`, `name.1` and so on become
  /// one list of such objects under `name`, the way a list is read.
  public static func encode(
    _ tensors: [(name: String, tensor: Tensor)], response: JSONObject, isInterrupted: Interruption?
  ) throws(TensorFormatError) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    try writer.writeMembers(of: response, isInterrupted)
    var taken = Set<String>()
    for (name, tensor) in tensors {
      try isInterrupted.check()
      guard taken.insert(name).inserted else {
        throw TensorFormatError(.invalidContent, tensor: name, "the name '\(name)' is taken")
      }
      if let index = tensor.firstNonFiniteIndex() {
        throw TensorFormatError(
          .invalidContent, tensor: name, "element \(index) is not finite, which JSON cannot express")
      }
    }
    for (name, entry) in try TensorLists.ordered(tensors) {
      guard !response.names.contains(name) else {
        throw TensorFormatError(.invalidContent, tensor: name, "the name '\(name)' is taken")
      }
      writer.name(name)
      switch entry {
      case .one(let tensor) where tensor.elementType == .int64: try writer.writeNested(tensor, isInterrupted)
      case .one(let tensor): try writer.writeObject(tensor, isInterrupted)
      case .many(let list):
        writer.beginArray()
        for tensor in list { try writer.writeObject(tensor, isInterrupted) }
        writer.endArray()
      }
    }
    writer.endObject()
    return writer.bytes
  }
}

extension JSONWriter {
  /// An answer's members as the text of an object.
  static func text(
    of response: JSONObject, _ isInterrupted: Interruption?
  ) throws(TensorFormatError) -> String {
    var writer = JSONWriter()
    writer.beginObject()
    try writer.writeMembers(of: response, isInterrupted)
    writer.endObject()
    return String(decoding: writer.takeBytes(), as: UTF8.self)
  }

  /// The members of an answer; of a list, which has an entry for each image of a batch, one entry after the other.
  mutating func writeMembers(
    of response: JSONObject, _ isInterrupted: Interruption?
  ) throws(TensorFormatError) {
    for member in response.members {
      name(member.name)
      guard case .array(let entries) = member.value else {
        write(member.value)
        continue
      }
      beginArray()
      for (index, entry) in entries.enumerated() {
        // An entry is an image's list of indices, or one number of a list that belongs to a single image.
        if index & 63 == 0 { try isInterrupted.check() }
        write(entry)
      }
      endArray()
    }
  }

  fileprivate mutating func writeObject(
    _ tensor: Tensor, _ isInterrupted: Interruption?
  ) throws(TensorFormatError) {
    beginObject()
    name("dtype")
    write(tensor.elementType.rawValue)
    name("shape")
    write(tensor.shape.dimensions)
    name("data")
    try writeFlat(tensor, isInterrupted)
    endObject()
  }

  fileprivate mutating func writeNested(
    _ tensor: Tensor, _ isInterrupted: Interruption?
  ) throws(TensorFormatError) {
    switch tensor.rank {
    case 0: for value in tensor.integers() ?? [] { write(value) }
    case 1: try writeFlat(tensor, isInterrupted)
    default:
      beginArray()
      for index in 0..<tensor.shape[0] { try writeNested(tensor[index], isInterrupted) }
      endArray()
    }
  }

  /// Numbers that are written without asking whether anybody waits for them: about a millisecond.
  private static let uninterruptedNumbers = 1 << 13

  /// All elements, row-major, as one array.
  mutating func writeFlat(_ tensor: Tensor, _ isInterrupted: Interruption?) throws(TensorFormatError) {
    try isInterrupted.check()
    let count = tensor.elementCount
    // Whole numbers of a short list have a faster way.
    if count <= Self.uninterruptedNumbers, let integers = tensor.integers() { return write(integers) }
    beginArray()
    for start in stride(from: 0, to: count, by: Self.uninterruptedNumbers) {
      if start > 0 { try isInterrupted.check() }
      writeElements(tensor.elements(start..<min(start + Self.uninterruptedNumbers, count)))
    }
    endArray()
  }

  private mutating func writeElements(_ tensor: Tensor) {
    switch tensor.elementType {
    case .float32, .float16, .bfloat16: for value in tensor.floats() { write(value) }
    case .float64: for value in tensor.doubles() { write(value) }
    case .bool: for byte in tensor.bytes { write(byte != 0) }
    case .uint64:
      tensor.bytes.withUnsafeBytes { raw in
        for index in 0..<tensor.elementCount {
          write(UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)))
        }
      }
    case .int64, .int32, .int16, .int8, .uint32, .uint16, .uint8:
      for value in tensor.integers() ?? [] { write(value) }
    }
  }
}
