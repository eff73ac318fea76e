extension JSONWriter {
  // JSON has no NaN and no infinity: they are written as null, as ECMAScript does. A trap here would let a
  // number that overflowed somewhere end the whole server.

  public mutating func write(_ value: Double) { writeNumber { $0.append(value) } }

  public mutating func write(_ value: Float) { writeNumber { $0.append(value) } }

  public mutating func write(_ value: Int) { writeNumber { $0.append(value) } }

  public mutating func write(_ value: some BinaryInteger) {
    if let small = Int(exactly: value) {
      write(small)
    } else {
      writeNumber { $0.bytes.append(contentsOf: String(value).utf8) }
    }
  }

  // Arrays of numbers stay on one line: a line per element would make a tensor unreadable.

  public mutating func write(_ values: [Int]) { writeLine(values) { $0.append($1) } }

  public mutating func write(_ values: [Float]) { writeLine(values) { $0.append($1) } }

  public mutating func write(_ values: [Double]) { writeLine(values) { $0.append($1) } }

  public mutating func write(_ values: some Sequence<Int>) { write(Array(values)) }

  public mutating func write(_ values: some Sequence<Float>) { write(Array(values)) }

  public mutating func write(_ values: some Sequence<Double>) { write(Array(values)) }

  @inline(__always)
  private mutating func writeNumber(_ append: (inout JSONWriter) -> Void) {
    separate()
    append(&self)
    needsComma = true
  }

  @inline(__always)
  private mutating func writeLine<Element>(
    _ values: [Element], _ append: (inout JSONWriter, Element) -> Void
  ) {
    separate()
    bytes.append(UInt8(ascii: "["))
    var isFirst = true
    for value in values {
      if !isFirst { bytes.append(UInt8(ascii: ",")) }
      isFirst = false
      append(&self, value)
    }
    bytes.append(UInt8(ascii: "]"))
    needsComma = true
  }

  private mutating func append(_ value: Double) {
    bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
  }

  private mutating func append(_ value: Float) {
    bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
  }

  /// Appends decimal digits from the last one back, in the place they need and no other memory.
  private mutating func append(_ value: Int) {
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    let magnitude = value.magnitude
    var length = 1
    var bound: UInt = 10
    while length < 19, magnitude >= bound {
      length &+= 1
      bound &*= 10
    }
    bytes.append(addingCapacity: length) { target in
      target.withUnsafeMutableBufferPointer { buffer, count in
        var rest = magnitude
        for place in stride(from: length &- 1, through: 0, by: -1) {
          let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
          buffer.initializeElement(at: place, to: 0x30 &+ UInt8(truncatingIfNeeded: digit))
          rest = quotient
        }
        count = length
      }
    }
  }
}
