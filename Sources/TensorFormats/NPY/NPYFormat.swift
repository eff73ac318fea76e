public import JSON
public import Tensors

/// npy, numpy's format of one array, versions 1 to 3 (NEP 1 and numpy/lib/_format_impl.py).
///
/// The tensor takes its name from the hints. Fortran order is transposed and big-endian elements are swapped;
/// everything else is a view of the body.
public enum NPYFormat: AnswerFormat {
  public static let name = "npy"
  public static let mediaTypes = ["application/x-npy", "application/npy", "application/vnd.numpy.npy"]

  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  public static func matches(_ prefix: ArraySlice<UInt8>) -> Bool { prefix.starts(with: magic) }

  public static func decode(
    _ body: ArraySlice<UInt8>, _ hints: DecodingHints
  ) throws(TensorFormatError) -> TensorDocument {
    let name = hints.tensorName
    let (text, textOffset) = try headerText(body)
    let header = try NPYHeader(text, startingAt: textOffset, tensor: name)
    let element = try NPYElement(header.descriptor, hints.elementType, tensor: name)
    let shape = try Shape.named(name, header.dimensions)
    var data = body[text.endIndex...]
    // Compared before anything is moved, so that a false shape costs nothing.
    do throws(TensorError) {
      _ = try Tensor(elementType: element.type, shape: shape, bytes: data)
    } catch {
      throw TensorFormatError(.malformed, tensor: name, error.description)
    }
    if element.isBigEndian { data = ElementOrder.swapped(data, width: element.type.byteWidth)[...] }
    if header.isFortranOrder, shape.rank > 1 {
      data = ElementOrder.rowMajor(data, shape.dimensions, width: element.type.byteWidth)[...]
    }
    let tensor = try Tensor.named(name, element.type, shape, data)
    return TensorDocument(tensors: TensorBundle([name: .one(tensor)]))
  }

  /// Nothing, but for a copy where elements lie in another order.
  public static func decodingBytes(of body: ArraySlice<UInt8>, _ hints: DecodingHints) -> Int {
    guard let (text, _) = try? headerText(body) else { return 0 }
    let isForeign = text.contains(UInt8(ascii: ">")) || text.contains(UInt8(ascii: "T"))
    return isForeign ? 2 * body.count : 0
  }

  /// Whether the elements are two bytes that only the hints can explain.
  static func isOpaque(_ body: ArraySlice<UInt8>) -> Bool {
    guard let (text, offset) = try? headerText(body),
      let header = try? NPYHeader(text, startingAt: offset, tensor: "")
    else { return false }
    return header.descriptor.hasSuffix("V2")
  }

  static func header(
    _ body: ArraySlice<UInt8>, tensor: String
  ) throws(TensorFormatError) -> NPYHeader {
    let (text, offset) = try headerText(body)
    return try NPYHeader(text, startingAt: offset, tensor: tensor)
  }

  /// The elements behind the header; empty where there is none.
  static func data(_ body: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    guard let (text, _) = try? headerText(body) else { return body.suffix(0) }
    return body[text.endIndex...]
  }

  /// The header's text and the number of bytes before it.
  private static func headerText(
    _ body: ArraySlice<UInt8>
  ) throws(TensorFormatError) -> (text: ArraySlice<UInt8>, offset: Int) {
    func malformed(_ offset: Int, _ message: String) -> TensorFormatError {
      TensorFormatError(.malformed, byteOffset: offset, message)
    }
    guard matches(body) else { throw malformed(0, "an npy body starts with \\x93NUMPY") }
    let rest = body.dropFirst(magic.count)
    guard let major = rest.first, let minor = rest.dropFirst().first else {
      throw malformed(6, "the body ends before the npy version")
    }
    guard (1...3).contains(major), minor == 0 else {
      throw TensorFormatError(
        .unsupported, byteOffset: 6, "npy version \(major).\(minor) is not supported; use 1.0, 2.0 or 3.0")
    }
    let width = major == 1 ? 2 : 4
    let lengthBytes = rest.dropFirst(2).prefix(width)
    guard lengthBytes.count == width else { throw malformed(8, "the body ends before the header length") }
    let length = lengthBytes.reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= NPYHeader.maximumLength else {
      throw malformed(
        8, "the header length \(length) exceeds \(NPYHeader.maximumLength) bytes, numpy's own limit")
    }
    let text = rest.dropFirst(2 + width).prefix(length)
    guard text.count == length else {
      throw malformed(
        8, "the header length \(length) exceeds the \(text.count) bytes that follow it")
    }
    return (text, 8 + width)
  }

  /// Writes the first tensor, version 1.0, header padded to a multiple of 64; the rest of the answer has no
  /// place in this format.
  ///
  /// BF16, which numpy lacks, is widened to `<f4`, without loss.
  public static func encode(
    _ tensors: [(name: String, tensor: Tensor)], response: JSONObject, isInterrupted: Interruption?
  ) throws(TensorFormatError) -> [UInt8] {
    guard let (name, first) = tensors.first else {
      throw TensorFormatError(
        .unsupported, "this response has no tensor, and npy can hold nothing else; request application/json")
    }
    try isInterrupted.check()
    var tensor = first
    if tensor.elementType == .bfloat16 {
      let floats = tensor.floats().withUnsafeBytes { Array($0) }
      tensor = try .named(name, .float32, tensor.shape, floats[...])
    }
    let dimensions = tensor.shape.dimensions
    let tuple = dimensions.map(String.init).joined(separator: ", ") + (dimensions.count == 1 ? "," : "")
    var text = Array(
      "{'descr': '\(NPYElement.descriptor(of: tensor.elementType))', 'fortran_order': False, 'shape': (\(tuple)), }"
        .utf8)
    let prefixLength = magic.count + 4
    let padding = 63 - (prefixLength + text.count) % 64
    text.append(contentsOf: repeatElement(0x20, count: padding))
    text.append(0x0a)
    var body = magic + [1, 0, UInt8(text.count & 0xff), UInt8(text.count >> 8)]
    body.reserveCapacity(prefixLength + text.count + tensor.bytes.count)
    body.append(contentsOf: text)
    body.append(contentsOf: tensor.bytes)
    return body
  }
}
