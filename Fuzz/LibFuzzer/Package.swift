// swift-tools-version:6.2
import PackageDescription

// A package of its own, because this executable links only with libFuzzer, which brings its `main`: tools/fuzz.sh
// builds it with -sanitize=fuzzer,address for every module. The targets lie in the repository's package, whose
// tests replay the corpora without libFuzzer.
let package = Package(
  name: "LibFuzzer",
  dependencies: [.package(name: "crop", path: "../..")],
  targets: [
    .executableTarget(
      name: "fuzz", dependencies: [.product(name: "FuzzTargets", package: "crop")], path: "Sources",
      swiftSettings: [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")])
  ]
)
