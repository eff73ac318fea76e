import Kernels
import Testing

@testable import crop

@Suite("The level to compute with")
struct CPULevelTests {
  @Test("a level that does not exist is refused with those that do")
  func unknown() {
    let error = #expect(throws: ConfigurationError.self) {
      try CPULevel.choose(from: ["CROP_CPU_LEVEL": "v5"])
    }
    #expect(
      error?.problems == ["environment CROP_CPU_LEVEL: 'v5' is not one of auto, baseline, v3, v4, neon"])
  }

  @Test("a level of another processor is refused with those of this one")
  func unavailable() {
    let missing = CPULevel.allCases.filter { level in
      level != .auto && !KernelSet.available.contains { $0.name == level.rawValue }
    }
    #expect(!missing.isEmpty)
    for level in missing {
      let error = #expect(throws: ConfigurationError.self) { try level.choose() }
      #expect(error?.problems.first?.hasSuffix("it has \(CPULevel.available)") == true)
    }
  }

  @Test("no level asked for leaves the choice to the processor")
  func automatic() throws {
    try CPULevel.choose(from: [:])
    try CPULevel.choose(from: ["CROP_CPU_LEVEL": "auto"])
    #expect(KernelSet.active.name == KernelSet.available.last?.name)
  }

  @Test("every level of this processor has a name in the settings")
  func names() {
    for kernels in KernelSet.available { #expect(CPULevel(rawValue: kernels.name) != nil) }
  }

  @Test("only both words, in any order, ask for the long version")
  func versionWords() {
    #expect(VersionReport.isAskedFor(by: ["--version", "--verbose"]))
    #expect(VersionReport.isAskedFor(by: ["--verbose", "--version"]))
    #expect(!VersionReport.isAskedFor(by: ["--version"]))
    #expect(!VersionReport.isAskedFor(by: ["serve", "--version", "--verbose"]))
  }
}
