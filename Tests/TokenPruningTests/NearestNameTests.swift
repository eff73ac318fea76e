import Testing

@testable import Parameters
@testable import TokenPruning

@Suite struct NearestNameTests {
  private static let names = ["keep_tokens", "keep_ratio", "fastv", "fastervlm", "topk"]

  @Test(
    "a slip of the finger or of the shift key finds the name that was meant",
    arguments: [
      ("keep_token", "keep_tokens"), ("kep_ratio", "keep_ratio"), ("FastV", "fastv"), ("TOPK", "topk"),
      ("fastrvlm", "fastervlm"), ("topk", "topk"),
    ])
  func near(typed: String, meant: String) {
    #expect(nearestName(to: typed, among: Self.names) == meant)
  }

  @Test(
    "another word finds nothing, however long",
    arguments: ["", "budget", String(repeating: "k", count: 1 << 20)])
  func far(typed: String) {
    #expect(nearestName(to: typed, among: Self.names) == nil)
  }
}
