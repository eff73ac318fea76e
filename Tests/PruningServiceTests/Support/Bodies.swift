import JSON
import TensorFormats
import Tensors
import TokenPruning

/// Tensors and parameters, and the bytes they make in each format.
struct Body {
  var tensors: [(name: String, tensor: Tensor)]
  var parameters: JSONObject

  init(_ tensors: [(name: String, tensor: Tensor)], _ parameters: JSONObject = [:]) {
    self.tensors = tensors
    self.parameters = parameters
  }

  func json() throws -> [UInt8] { try JSONTensorFormat.encode(tensors, response: parameters) }

  func npy() throws -> [UInt8] { try NPYFormat.encode(tensors, response: [:]) }

  func safetensors() -> [UInt8] {
    var header: JSONObject = [
      "__metadata__": ["parameters": .string(JSONValue.object(parameters).description)]
    ]
    var data: [UInt8] = []
    for (name, tensor) in tensors {
      header[name] = [
        "dtype": .string(tensor.elementType.rawValue),
        "shape": .array(tensor.shape.dimensions.map { .integer($0) }),
        "data_offsets": [.integer(data.count), .integer(data.count + tensor.bytes.count)],
      ]
      data += tensor.bytes
    }
    let text = JSONValue.object(header).serialized()
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text + data
  }
}

extension JSONObject {
  /// With so many frames where the method compares frames and is not told how many there are.
  func withFrames(_ count: Int) -> JSONObject {
    var own = self["method_parameters"]?.objectValue ?? [:]
    guard own["frames"] == nil,
      MethodRegistry.standard.descriptors.contains(where: { descriptor in
        .string(descriptor.name) == self["method"] && descriptor.parameters.contains { $0.name == "frames" }
      })
    else { return self }
    var result = self
    own["frames"] = .integer(count)
    result["method_parameters"] = .object(own)
    return result
  }
}

extension Tensor {
  /// An F32 tensor of these numbers.
  static func of(_ values: [Float], _ shape: Int...) throws -> Tensor {
    try .float32(values, shape: Shape(shape))
  }

  /// An F32 tensor of seeded numbers in -1..<1.
  static func random(_ shape: [Int], seed: UInt64) throws -> Tensor {
    var numbers = SeededNumbers(seed: seed)
    let shape = try Shape(shape)
    return try .float32((0..<shape.elementCount).map { _ in numbers.float() }, shape: shape)
  }
}

/// SplitMix64: the same numbers from the same seed, on every machine.
struct SeededNumbers {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }

  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }

  /// In -1..<1.
  mutating func float() -> Float { Float(Int64(next() >> 40) - (1 << 23)) / Float(1 << 23) }

  mutating func pick<Element>(_ choices: [Element]) -> Element { choices[below(choices.count)] }
}

/// An attention row over a square grid, high inside one rectangle of tokens.
func attentionRow(side: Int, bright columns: Range<Int>, _ rows: Range<Int>) -> [Float] {
  (0..<(side * side)).map { token in
    let isBright = columns.contains(token % side) && rows.contains(token / side)
    return (isBright ? 5 : 1) + Float(token % 7) / 100
  }
}

func list(_ values: [some CustomStringConvertible]) -> String {
  "[" + values.map(\.description).joined(separator: ",") + "]"
}
