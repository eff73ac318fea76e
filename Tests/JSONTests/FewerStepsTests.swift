import Testing

@testable import JSON

/// What the writer does in fewer steps, against the standard library.
@Suite("Writing JSON in fewer steps") struct FewerStepsTests {
  private static func text(_ write: (inout JSONWriter) -> Void) -> String {
    var writer = JSONWriter()
    write(&writer)
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  @Test("numbers of few decimals are written as the standard library writes them")
  func fewDecimals() {
    var generator = SystemRandomNumberGenerator()
    var values: [Double] = [
      0, -0.0, 1, -1, 0.5, 64, 0.125, 1e-4, 0.0001, 9e-5, 1e-6, 999_999_999.999999, 1e9, 1e15, 1e16,
      0.1 + 0.2,
    ]
    for exponent in -3...8 {
      for _ in 0..<2000 {
        let size = pow10(exponent)
        let decimal = Double(Int.random(in: 0...1_000_000, using: &generator)) / 1e6 * size
        values += [decimal, -decimal, decimal.nextUp, decimal.nextDown]
        let short =
          Double(Int.random(in: 0...9999, using: &generator))
          / pow10(Int.random(in: 0...6, using: &generator))
        values += [short, short.nextUp, short.nextDown, Double.random(in: 0...size, using: &generator)]
      }
    }
    for value in values where Self.text({ $0.write(value) }) != value.description {
      Issue.record("\(value.description) was written as \(Self.text { $0.write(value) })")
      return
    }
  }

  private func pow10(_ exponent: Int) -> Double {
    exponent < 0 ? 1 / pow10(-exponent) : (0..<exponent).reduce(1.0) { product, _ in product * 10 }
  }

  @Test("lists of whole numbers are written one by one")
  func wholeNumbers() {
    let lists = [
      [], [0], [999], [1000], [-1], [.min, .max], Array(0..<2000), [999, 1000, 99, 100, 9, 10, -999, 7],
    ]
    for list in lists {
      let expected = "[" + list.map(\.description).joined(separator: ",") + "]"
      #expect(Self.text { $0.write(list) } == expected)
    }
  }

  @Test("quotation marks, backslashes and control characters are found wherever they stand")
  func plainText() {
    for length in 0...19 {
      let plain = [UInt8](repeating: 0x61, count: length)
      #expect(plain.withUnsafeBufferPointer(JSONWriter.isPlain))
      for slot in 0..<length {
        for byte in UInt8.min...UInt8.max {
          var text = plain
          text[slot] = byte
          let isPlain = byte >= 0x20 && byte != 0x22 && byte != 0x5c
          if text.withUnsafeBufferPointer(JSONWriter.isPlain) != isPlain {
            Issue.record("byte \(byte) at \(slot) of \(length)")
            return
          }
        }
      }
    }
  }

  @Test("members that were written before are those that are written now")
  func preparedMembers() {
    let object: JSONObject = ["a": 1, "b": ["c": 0.5], "d": "\"e\""]
    let prepared = Self.text {
      $0.beginObject()
      $0.name("first")
      $0.write(true)
      $0.writeMembers([])
      $0.writeMembers(object.compactMembers)
      $0.writeMembers(of: ["last": 2])
      $0.endObject()
    }
    #expect(prepared == #"{"first":true,"a":1,"b":{"c":0.5},"d":"\"e\"","last":2}"#)
    #expect(JSONObject().compactMembers.isEmpty)
  }
}
