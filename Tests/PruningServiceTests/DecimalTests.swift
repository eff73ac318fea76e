import Testing

@testable import PruningService

@Suite struct DecimalTests {
  private func text(_ write: (inout [UInt8]) -> Void) -> String {
    var bytes: [UInt8] = []
    write(&bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test(
    "Whole numbers are written as Swift writes them", arguments: [0, 1, -1, 9, 10, 99, 100, 4096, .max, .min])
  func whole(number: Int) {
    #expect(text { Decimal.append(number, to: &$0) } == String(number))
  }

  @Test(
    "Milliseconds have three decimals, and none is below zero",
    arguments: [
      (0, "0.000"), (999, "0.000"), (1_500_000, "1.500"), (12_345_678_901, "12345.678"), (-5, "0.000"),
    ])
  func milliseconds(nanoseconds: Int64, expected: String) {
    #expect(text { Decimal.appendMilliseconds(nanoseconds, to: &$0) } == expected)
  }
}
