// swift-tools-version:6.2
import PackageDescription

let comparisons =
  ["cmp1", "cmp2", "cmp4", "cmp8", "const_cmp1", "const_cmp2", "const_cmp4", "const_cmp8", "switch"]
  .map { "--wrap=__sanitizer_cov_trace_\($0)" }

// A package of its own, because this executable links only with libFuzzer, which brings its `main`: tools/fuzz.sh
// builds it with -sanitize=fuzzer,address for every module. The targets lie in the repository's package, whose
// tests replay the corpora without libFuzzer.
let package = Package(
  name: "LibFuzzer",
  dependencies: [.package(name: "crop", path: "../..")],
  targets: [
    .target(name: "Comparisons"),
    .executableTarget(
      name: "fuzz", dependencies: ["Comparisons", .product(name: "FuzzTargets", package: "crop")],
      swiftSettings: [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")],
      linkerSettings: [.unsafeFlags(comparisons.flatMap { ["-Xlinker", $0] })]),
  ]
)
