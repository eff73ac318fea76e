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

  /// Commas and opening brackets: in front of every value but the first stands one.
  ///
  /// Eight bytes at a time in a register, which costs the same at every processor level.
  private static func separatorCount(_ bytes: UnsafeRawBufferPointer) -> Int {
    let words = bytes.count / 8
    var count = 0
    var word = 0
    while word < words {
      var sums: UInt64 = 0
      // A byte of the sums counts up to 255.
      let end = min(word + 127, words)
      while word < end {
        let some = bytes.loadUnaligned(fromByteOffset: word &* 8, as: UInt64.self)
        sums &+= equalBytes(some, UInt8(ascii: ",")) &+ equalBytes(some, UInt8(ascii: "["))
        word &+= 1
      }
      while sums != 0 {
        count &+= Int(sums & 0xff)
        sums &>>= 8
      }
    }
    for byte in bytes[(words * 8)...] where byte == UInt8(ascii: ",") || byte == UInt8(ascii: "[") {
      count += 1
    }
    return count
  }

  /// A one in each byte of `word` that is `byte`, zeros elsewhere.
  @inline(__always)
  private static func equalBytes(_ word: UInt64, _ byte: UInt8) -> UInt64 {
    let differences = word ^ (0x0101_0101_0101_0101 &* UInt64(byte))
    let low: UInt64 = 0x7f7f_7f7f_7f7f_7f7f
    // The sum carries into the top bit of a byte that is not zero in its lower bits.
    return ~(((differences & low) &+ low) | differences | low) &>> 7
  }

  /// Writes the response's members, then the tensors: I64 as plain nested arrays, which is how indices are
  /// read, every other type as `{"dtype", "shape", "data"}` with flat data. `name.0`, `name.1` and so on become
  /// one list of such objects under `name`, the way a list is read.
  public static func encode(
    _ tensors: [(name: String, tensor: Tensor)], response: JSONObject
  ) throws(TensorFormatError) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    for member in response.members {
      writer.name(member.name)
      writer.write(member.value)
    }
    var taken = Set<String>()
    for (name, tensor) in tensors {
      guard taken.insert(name).inserted else {
        throw TensorFormatError(.invalidContent, tensor: name, "the name '\(name)' is taken")
      }
      if let index = tensor.firstNonFiniteIndex() {
        throw TensorFormatError(
          .invalidContent, tensor: name, "element \(index) is not finite, which JSON cannot express")
      }
    }
    let bundle = try TensorLists.bundle(tensors)
    for (name, _) in tensors {
      let list = TensorLists.listIndex(name)
      // A list stands where its first element stood.
      guard list?.index ?? 0 == 0 else { continue }
      let member = list?.list ?? name
      guard !response.names.contains(member) else {
        throw TensorFormatError(.invalidContent, tensor: member, "the name '\(member)' is taken")
      }
      writer.name(member)
      switch bundle[member] {
      case .one(let tensor) where tensor.elementType == .int64: writer.writeNested(tensor)
      case .one(let tensor): writer.writeObject(tensor)
      case .many(let list):
        writer.beginArray()
        for tensor in list { writer.writeObject(tensor) }
        writer.endArray()
      case nil: break
      }
    }
    writer.endObject()
    return writer.bytes
  }
}

extension JSONWriter {
  fileprivate mutating func writeObject(_ tensor: Tensor) {
    beginObject()
    name("dtype")
    write(tensor.elementType.rawValue)
    name("shape")
    write(tensor.shape.dimensions)
    name("data")
    writeFlat(tensor)
    endObject()
  }

  fileprivate mutating func writeNested(_ tensor: Tensor) {
    switch tensor.rank {
    case 0: for value in tensor.integers() ?? [] { write(value) }
    case 1: writeFlat(tensor)
    default:
      beginArray()
      for index in 0..<tensor.shape[0] { writeNested(tensor[index]) }
      endArray()
    }
  }

  mutating func writeFlat(_ tensor: Tensor) {
    switch tensor.elementType {
    case .float32, .float16, .bfloat16: write(tensor.floats())
    case .float64: write(tensor.doubles())
    case .bool:
      beginArray()
      for byte in tensor.bytes { write(byte != 0) }
      endArray()
    case .uint64:
      beginArray()
      tensor.bytes.withUnsafeBytes { raw in
        for index in 0..<tensor.elementCount {
          write(UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)))
        }
      }
      endArray()
    case .int64, .int32, .int16, .int8, .uint32, .uint16, .uint8: write(tensor.integers() ?? [])
    }
  }
}
