import JSON
import Tensors
import Testing

@testable import TensorFormats

/// A safetensors body around a header written by hand.
func safetensors(_ header: String, data: [UInt8] = []) -> [UInt8] {
  let text = Array(header.utf8)
  return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text + data
}

@Suite("safetensors")
struct SafetensorsTests {
  @Test("a body written by hand is read without copying")
  func golden() throws {
    let body =
      [99] + [UInt8](repeating: 0, count: 7)
      + Array(
        #"{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"__metadata__":{"parameters":"{\"k\":3}"}} "#
          .utf8)
      + [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]
    let document = try SafetensorsFormat.decode(body[...], DecodingHints())
    #expect(document.parameters == ["k": 3])
    guard case .one(let tensor) = document.tensors["a"] else { throw Missing() }
    #expect(tensor.floats() == [1, -2])
    #expect(tensor.shape.dimensions == [1, 2])
    #expect(tensor.bytes.startIndex == 107)
  }
}

struct Missing: Error {}
