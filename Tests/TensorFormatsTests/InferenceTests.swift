import JSON
import Tensors
import Testing

@testable import TensorFormats

@Suite("Open Inference Protocol")
struct InferenceTests {
  private static let hints = DecodingHints(parameterNames: [
    "keep_tokens", "method", "layout", "seed", "batched",
  ])

  private static func decode(
    _ text: String, _ binary: [UInt8]? = nil, length: Int? = nil
  ) throws(TensorFormatError) -> InferenceRequest {
    // Not at the start of its array, so that no index is an offset by chance.
    let body = Array("behind".utf8) + Array(text.utf8) + (binary ?? [])
    let parsed = try InferenceBody(body[6...], jsonByteCount: length ?? binary.map { _ in text.utf8.count })
    return try parsed.request(shared: [], hints)
  }

  private static func error(_ text: String, _ binary: [UInt8]? = nil) -> TensorFormatError? {
    do throws(TensorFormatError) {
      _ = try decode(text, binary)
      return nil
    } catch {
      return error
    }
  }

  @Test(
    "members may come in any order, numbers flat or nested, of every type", arguments: ElementType.allCases)
  func numbers(_ type: ElementType) throws {
    let name = InferenceDatatype.numbers(type).name
    let values = type == .bool ? ["true", "false", "true", "true"] : ["1", "0", "3", "7"]
    for data in [
      "[\(values.joined(separator: ","))]", "[[\(values[0]),\(values[1])],[\(values[2]),\(values[3])]]",
    ] {
      for order in [
        #""name":"x","shape":[2,2],"datatype":"\#(name)","data":\#(data)"#,
        #""data":\#(data),"datatype":"\#(name)","shape":[2,2],"name":"x","parameters":{}"#,
      ] {
        let request = try Self.decode("{\"inputs\":[{\(order)}]}")
        guard case .one(let tensor)? = request.document.tensors["x"] else { throw CancellationError() }
        #expect(tensor.elementType == type && tensor.shape.dimensions == [2, 2])
        #expect(tensor.doubles() == (type == .bool ? [1, 0, 1, 1] : [1, 0, 3, 7]))
      }
    }
    #expect(InferenceDatatype(name) == .numbers(type))
  }

  @Test("16-bit floats in JSON are rounded to the nearest, ties to even")
  func halves() throws {
    let request = try Self.decode(
      #"{"inputs":[{"name":"x","shape":[3],"datatype":"FP16","data":[1.00048828125,1.00146484375,-65504]}]}"#)
    #expect(
      request.document.tensors["x"]
        == .one(try Tensor(elementType: .float16, shape: Shape([3]), bytes: [0, 0x3c, 2, 0x3c, 0xff, 0xfb])))
    #expect(Self.error(#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP16","data":[70000]}]}"#) != nil)
  }

  @Test("binary data are slices of the body, in the order of the inputs that have them")
  func binary() throws {
    let text = #"""
      {"inputs":[{"name":"x","shape":[2],"datatype":"BF16","parameters":{"binary_data_size":4}},
      {"name":"y","shape":[1],"datatype":"FP32","data":[2]},
      {"name":"method","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":8}},
      {"name":"seed","shape":[1],"datatype":"UINT64","parameters":{"binary_data_size":8}}],
      "parameters":{"binary_data_output":true,"timeout":250,"priority":1,"layout":"{\"type\":\"grid\"}"},
      "outputs":[{"name":"a","parameters":{"binary_data":false,"classification":0}},{"name":"b"}],"id":"7"}
      """#
    let data: [UInt8] = [1, 2, 3, 4, 4, 0, 0, 0] + Array("topk".utf8) + [UInt8](repeating: 0xff, count: 8)
    let request = try Self.decode(text, data)
    #expect(
      request.document.tensors["x"]
        == .one(try Tensor(elementType: .bfloat16, shape: Shape([2]), bytes: [1, 2, 3, 4])))
    #expect(request.document.tensors.names == ["x", "y"])
    #expect(
      request.document.parameters == [
        "method": "topk", "seed": .unsigned(.max), "layout": ["type": "grid"],
      ])
    #expect(request.outputs == [.init(name: "a", isBinary: false), .init(name: "b")])
    #expect(request.wantsBinaryData && request.timeout == 250 && request.id == "7")
    for length in 0..<data.count { #expect(Self.error(text, Array(data[..<length])) != nil) }
    #expect(Self.error(text, data + [0])?.message.contains("belong to no input") == true)
    for length in [0, -1, text.utf8.count + 100] {
      #expect(throws: TensorFormatError.self) { try Self.decode(text, data, length: length) }
    }
  }

  @Test("numbered inputs are a list, null and absent members the same")
  func lists() throws {
    let request = try Self.decode(
      #"{"id":null,"outputs":null,"parameters":null,"model_name":"m","inputs":[{"name":"x.0","shape":[1],"datatype":"FP32","data":[1]},{"name":"x.1","shape":[2],"datatype":"FP32","data":[1,2]}]}"#
    )
    guard case .many(let list)? = request.document.tensors["x"] else { throw CancellationError() }
    #expect(list.map(\.elementCount) == [1, 2] && request.outputs == nil && request.id == nil)
    #expect(try Self.decode(#"{"inputs":[],"outputs":[]}"#).document == TensorDocument())
  }

  @Test("what is wrong is placed and worded")
  func faults() {
    let good = #""name":"x","shape":[1],"datatype":"FP32""#
    for (text, pointer, word) in [
      ("{}", "", "no member inputs"), (#"{"inputs":{}}"#, "/inputs", "an array"),
      (#"{"inputs":[{"name":"x"}]}"#, "/inputs/0", "shape"),
      (#"{"inputs":[{\#(good)}]}"#, "/inputs/0/data", "data"),
      (#"{"inputs":[{\#(good),"data":[1,2]}]}"#, "/inputs/0/data", "2"),
      (#"{"inputs":[{\#(good),"data":7}]}"#, "/inputs/0/data", "array"),
      (#"{"inputs":[{\#(good),"data":[1],"parameters":{"binary_data_size":4}}]}"#, "/inputs/0", "not both"),
      (#"{"inputs":[{\#(good),"data":[1],"parameters":{"keep":4}}]}"#, "/inputs/0/parameters", "'keep'"),
      (#"{"inputs":[{\#(good),"data":[1]}],"parameters":[]}"#, "/parameters", "an object"),
      (
        #"{"inputs":[{\#(good),"data":[1]}],"parameters":{"timeout":-1}}"#, "/parameters/timeout",
        "microseconds"
      ),
      (#"{"inputs":[{\#(good),"data":[1]}],"outputs":[{}]}"#, "/outputs/0", "name"),
      (#"{"inputs":[{\#(good),"data":[1]}],"top_k":1}"#, "/top_k", "parameters"),
      (
        #"{"inputs":[{"name":"method","shape":[2],"datatype":"BYTES","data":["a","b"]}]}"#, "/inputs/0",
        "2 texts"
      ),
      (
        #"{"inputs":[{"name":"method","shape":[1],"datatype":"BYTES","data":[1]}]}"#, "/inputs/0/data",
        "strings"
      ),
      (
        #"{"inputs":[{"name":"seed","shape":[1],"datatype":"INT64","data":[1]}],"parameters":{"seed":1}}"#,
        "/parameters/seed", "input"
      ),
    ] {
      let error = Self.error(text)
      #expect(
        error?.pointer == pointer && error?.message.contains(word) == true,
        "\(text): \(String(describing: error))")
    }
  }

  @Test("outputs are those asked for, stacked where they are lists, in JSON or behind it")
  func responses() throws {
    let pair = [
      ("f.0", try counting(.float16, [1, 2])), ("f.1", try counting(.float16, [2, 2])),
      ("k.0", try Tensor.int64([3], shape: Shape([1]))),
      ("k.1", try Tensor.int64([1, 2], shape: Shape([2]))),
    ]
    var request = InferenceRequest(id: "\"", document: TensorDocument())
    let plain = try InferenceResponse(to: request, model: "m", version: "1", pair, response: ["n": 1])
    #expect(plain.jsonByteCount == nil)
    #expect(
      String(decoding: plain.body, as: UTF8.self)
        == #"{"model_name":"m","model_version":"1","id":"\"","outputs":["#
        + #"{"name":"f","datatype":"FP16","shape":[2,2,2],"data":[0.0,0.25,0.0,0.0,0.0,0.25,0.5,0.75]},"#
        + #"{"name":"k","datatype":"INT64","shape":[2,2],"data":[3,-1,1,2]},"#
        + #"{"name":"response","datatype":"BYTES","shape":[1],"data":["{\"n\":1}"]}]}"#)
    request.outputs = [.init(name: "response"), .init(name: "k", isBinary: false), .init(name: "f")]
    request.wantsBinaryData = true
    let mixed = try InferenceResponse(to: request, model: "m", version: "1", pair, response: ["n": 1])
    let count = try #require(mixed.jsonByteCount)
    let header = try #require(try JSONValue.parse(mixed.body[..<count]).objectValue?["outputs"]?.arrayValue)
    #expect(header.map { $0.objectValue?["name"] } == ["response", "k", "f"])
    #expect(header[0].objectValue?["parameters"] == ["binary_data_size": 11])
    #expect(header[1].objectValue?["data"] == [3, -1, 1, 2])
    #expect(mixed.body[count...].starts(with: [7, 0, 0, 0] + Array(#"{"n":1}"#.utf8)))
    #expect(mixed.body.count == count + 11 + 16)
    for outputs in [[InferenceRequest.Output(name: "g")], [.init(name: "k"), .init(name: "k")]] {
      request.outputs = outputs
      #expect(throws: TensorFormatError.self) {
        try InferenceResponse(to: request, model: "m", version: "1", pair, response: [:])
      }
    }
  }
}
