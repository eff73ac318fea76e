import Foundation
import Testing

@testable import PruningNumerics
@testable import TokenPruning

@Suite("The exponential")
struct ExponentialTests {
  @Test("exp agrees with the C library within 2 units in the last place over its whole range")
  func exponentialAgrees() {
    var numbers = SeededGenerator(seed: 1)
    for _ in 0..<50_000 {
      let x = numbers.unit() * 1_450 - 742
      let expected = exp(x)
      if expected.isFinite { #expect(abs(exponential(x) - expected) <= 2 * expected.ulp, "x = \(x)") }
      let small = (numbers.unit() - 0.5) * 4
      #expect(abs(exponential(small) - exp(small)) <= 2 * exp(small).ulp, "x = \(small)")
    }
  }

  @Test("exp of special values")
  func exponentialSpecial() {
    #expect(exponential(0) == 1)
    #expect(exponential(-0.0) == 1)
    #expect(exponential(.infinity) == .infinity)
    #expect(exponential(-.infinity) == 0)
    #expect(exponential(.nan).isNaN)
    #expect(exponential(709.79) == .infinity)
    #expect(exponential(709.78).isFinite)
    #expect(exponential(-745.2) == 0)
    #expect(exponential(-745) > 0)
  }

  @Test("log agrees with the C library within 2 units in the last place")
  func logarithmAgrees() {
    var numbers = SeededGenerator(seed: 2)
    for _ in 0..<20_000 {
      let x = exp(numbers.unit() * 1_400 - 700)
      #expect(abs(naturalLogarithm(x) - log(x)) <= 2 * max(abs(log(x)).ulp, 0x1p-53), "x = \(x)")
    }
    #expect(naturalLogarithm(1) == 0)
  }
}
