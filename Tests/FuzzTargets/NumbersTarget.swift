import JSON

extension FuzzTarget {
  /// The text of one number: the fast paths against the standard library, bit by bit.
  static let numbers = FuzzTarget("numbers", maximumBytes: 2100) { bytes throws(BrokenLaw) in
    let isNumber = JSONGrammar.isNumber(bytes)
    // What follows must not be taken for a part of it.
    let around = Array("0[".utf8) + bytes + Array("123".utf8)
    let slice = around[2..<(2 + bytes.count)]
    let double = read(tail(bytes, behind: "0")) { (scanner: inout JSONScanner) throws(JSONError) in
      try scanner.readDouble()
    }
    let float = read(slice) { (scanner: inout JSONScanner) throws(JSONError) in try scanner.readFloat() }
    let whole = read(slice) { (scanner: inout JSONScanner) throws(JSONError) in try scanner.readInteger() }
    if double != nil || float != nil || whole != nil {
      try require(isNumber || hasSpace(bytes), "only numbers are read as numbers")
    }
    guard isNumber else { return }
    let text = String(decoding: bytes, as: UTF8.self)
    let tooLong = bytes.count > 2048
    // Swift reads what exceeds the range as infinity.
    if let exact = Double(text), exact.isFinite, !tooLong {
      try require(double?.bitPattern == exact.bitPattern, "float64 is correctly rounded: \(text)")
      try require(whole.map { Double($0) == exact } ?? true, "whole numbers are exact")
      try require(
        whole != nil || exact != exact.rounded() || abs(exact) > 0x1p53, "every whole number is read as one")
    } else {
      try require(double == nil, "what exceeds float64 is refused")
    }
    if let exact = Float(text), exact.isFinite, !tooLong {
      try require(float?.bitPattern == exact.bitPattern, "float32 is correctly rounded: \(text)")
    } else {
      try require(float == nil, "what exceeds float32 is refused")
    }
    if let float { try checkRegular(bytes, [float, float]) }
  }

  /// The single pass over nested arrays is another path to the same values; a wide space behind lets it take its shortcuts.
  private static func checkRegular(_ bytes: [UInt8], _ values: [Float]) throws(BrokenLaw) {
    let comma = [UInt8(ascii: ",")]
    for padding in [0, 80] {
      let space = [UInt8](repeating: 0x20, count: padding)
      let text = Array("[[".utf8) + bytes + comma + space + bytes + space + Array("] ]7".utf8)
      var scanner = JSONScanner(text[...])
      let array = scanner.readRegularNumbers(as: .float32, maximumRank: 8, allowsRagged: false)
      let bits = values.flatMap { value in (0..<4).map { UInt8(value.bitPattern >> ($0 * 8) & 0xff) } }
      try require(array.map { $0.bytes == bits && $0.dimensions == [1, 2] } ?? true, "so does a nested one")
      try require(array == nil ? scanner.offset == 0 : scanner.peek() == UInt8(ascii: "7"), "and ends there")
    }
  }

  /// Nil when it is rejected or does not end where the bytes do.
  private static func read<Value>(
    _ bytes: ArraySlice<UInt8>, _ read: (inout JSONScanner) throws(JSONError) -> Value
  ) -> Value? {
    var scanner = JSONScanner(bytes)
    guard let value = try? read(&scanner), scanner.offset == bytes.count else { return nil }
    return value
  }

  private static func hasSpace(_ bytes: [UInt8]) -> Bool { bytes.contains { $0 <= 0x20 } }
}
