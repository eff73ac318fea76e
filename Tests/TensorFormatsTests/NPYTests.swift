import JSON
import Tensors
import Testing

@testable import TensorFormats

/// An npy body around a header written by hand.
func npy(_ header: String, version: UInt8 = 1, _ data: [UInt8]) -> [UInt8] {
  let text = Array(header.utf8)
  let length = [UInt8(text.count & 0xff), UInt8(text.count >> 8)] + (version == 1 ? [] : [0, 0])
  return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + text + data
}

@Suite("npy")
struct NPYTests {
  static func one(_ body: [UInt8], _ type: ElementType? = nil) throws -> Tensor? {
    let hints = DecodingHints(tensorName: "t", elementType: type)
    guard case .one(let tensor)? = try NPYFormat.decode(body[...], hints).tensors["t"] else { return nil }
    return tensor
  }

  @Test("a body as numpy writes it is read without copying and written the same way")
  func golden() throws {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"
    let padded = header + String(repeating: " ", count: 117 - header.count) + "\n"
    let body = npy(padded, [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0])
    let tensor = try #require(try Self.one(body))
    #expect(tensor.floats() == [1, -2])
    #expect(tensor.bytes.startIndex == 128)
    #expect(try NPYFormat.encode([("t", tensor)], response: [:]) == body)
  }

  @Test(
    "keys in any order, either quote, and every version are read",
    arguments: [
      "{'shape':(2,),'fortran_order':False,'descr':'|u1'}",
      "{\"descr\":\"|u1\",'shape':(2,),'fortran_order':True,}\n",
      "{ 'descr' : '<u1' , 'fortran_order' : False , 'shape' : ( 2 , ) , } \n",
    ])
  func spelling(header: String) throws {
    for version in UInt8(1)...3 {
      #expect(try Self.one(npy(header, version: version, [7, 9]))?.integers() == [7, 9])
    }
  }

  @Test("Fortran order is transposed for every width and rank")
  func fortran() throws {
    for (type, code) in [(ElementType.uint8, "|u1"), (.int16, "<i2"), (.float32, "<f4"), (.int64, "<i8")] {
      let data = try counting(type, [24]).bytes
      let body = npy("{'descr':'\(code)','fortran_order':True,'shape':(2,3,4)}\n", Array(data))
      // Element (i, j, k) of a column-major array lies at i + 2j + 6k.
      let expected = (0..<24).map { place -> Float in
        let (i, j, k) = (place / 12, place / 4 % 3, place % 4)
        return Float(i + 2 * j + 6 * k)
      }
      let scale: Float = type == .float32 ? 4 : 1
      #expect(try Self.one(body)?.floats().map { $0 * scale } == expected)
    }
    let empty = npy("{'descr':'<f4','fortran_order':True,'shape':(0,3)}\n", [])
    #expect(try Self.one(empty)?.shape.dimensions == [0, 3])
  }

  @Test("big-endian elements are swapped")
  func bigEndian() throws {
    func header(_ code: String, _ count: Int) -> String {
      "{'descr':'\(code)','fortran_order':False,'shape':(\(count),)}\n"
    }
    #expect(try Self.one(npy(header(">f4", 1), [0x3f, 0x80, 0, 0]))?.floats() == [1])
    #expect(try Self.one(npy(header(">i2", 2), [0, 1, 1, 0]))?.integers() == [1, 256])
    #expect(try Self.one(npy(header(">f8", 1), [0x3f, 0xf0, 0, 0, 0, 0, 0, 0]))?.doubles() == [1])
    #expect(try Self.one(npy(header(">u1", 2), [1, 2]))?.integers() == [1, 2])
    let fortran = "{'descr':'>i2','fortran_order':True,'shape':(2,2)}\n"
    #expect(try Self.one(npy(fortran, [0, 1, 0, 2, 0, 3, 0, 4]))?.integers() == [1, 3, 2, 4])
  }

  @Test("two opaque bytes are bfloat16 only when the request says so", arguments: ["<V2", "|V2"])
  func bfloat16(code: String) throws {
    let body = npy("{'descr':'\(code)','fortran_order':False,'shape':(1,)}\n", [0x80, 0x3f])
    #expect(try Self.one(body, .bfloat16)?.floats() == [1])
    #expect(throws: TensorFormatError.self) { try Self.one(body) }
    #expect(throws: TensorFormatError.self) { try Self.one(body, .float16) }
  }

  static let faults: [(String, Int, TensorFormatError.Kind)] = [
    ("{'descr':'|O','fortran_order':False,'shape':(1,)}", 1, .unsupported),
    ("{'descr':'<c8','fortran_order':False,'shape':(1,)}", 8, .unsupported),
    ("{'descr':'=f4','fortran_order':False,'shape':(1,)}", 4, .unsupported),
    ("{'descr':'|f4','fortran_order':False,'shape':(1,)}", 4, .unsupported),
    ("{'descr':'','fortran_order':False,'shape':(1,)}", 4, .unsupported),
    ("{'descr':[('a','<f4')],'fortran_order':False,'shape':(1,)}", 4, .unsupported),
    ("{'descr':'|u1','fortran_order':False,'shape':(1,)}", 2, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(1,)}", 0, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(4294967296,4294967296)}", 0, .invalidContent),
    ("{'descr':'<f8','fortran_order':False,'shape':(2305843009213693952,)}", 0, .invalidContent),
    ("{'descr':'|u1','fortran_order':False,'shape':(99999999999999999999,)}", 0, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(-1,)}", 0, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(1)}", 1, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(1 1)}", 1, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(01,)}", 1, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(1L,)}", 1, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(,)}", 1, .malformed),
    ("{'descr':'|u1','fortran_order':0,'shape':(1,)}", 1, .malformed),
    ("{'descr':'|u1','fortran_order':False}", 1, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(1,),'x':1}", 1, .malformed),
    ("{'descr':'|u1','descr':'|u1','fortran_order':False,'shape':(1,)}", 1, .malformed),
    ("{'descr':'|u1','fortran_order':False,'shape':(1,)} 1", 1, .malformed),
    ("{'descr':'|u\\x31','fortran_order':False,'shape':(1,)}", 1, .malformed),
    ("{'descr':__import__('os'),'fortran_order':False,'shape':(1,)}", 1, .malformed),
    ("{", 0, .malformed), ("", 0, .malformed), ("{'descr", 0, .malformed),
    (String(repeating: " ", count: 10_001), 0, .malformed),
  ]

  @Test("every rule has a body that breaks it and is refused", arguments: faults.indices)
  func refused(which: Int) {
    let (header, count, kind) = Self.faults[which]
    let body = npy(header, [UInt8](repeating: 0, count: count))
    #expect { try Self.one(body) } throws: { ($0 as? TensorFormatError)?.kind == kind }
  }

  @Test("an unknown version is refused, and so is an answer without a tensor")
  func edges() throws {
    let header = "{'descr':'|u1','fortran_order':False,'shape':(1,)}"
    #expect(throws: TensorFormatError.self) { try Self.one(npy(header, version: 4, [0])) }
    #expect(throws: TensorFormatError.self) { try Self.one(npy(header, version: 0, [0])) }
    #expect(throws: TensorFormatError.self) { try NPYFormat.encode([], response: [:]) }
    #expect(throws: TensorFormatError.self) { try Self.one(npy(header, [0]), .float32) }
  }
}
