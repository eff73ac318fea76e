// swift-tools-version:6.1
import PackageDescription

// Micro-benchmarks of the modules of the package above (`make bench`), and `measure`, which `make bench-peers` runs to
// time the same functions against other libraries.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]
let core: Target.Dependency = .product(name: "CropCore", package: "crop")

@MainActor
func suite(_ name: String) -> Target {
  .executableTarget(
    name: name, dependencies: [core, .product(name: "Benchmark", package: "benchmark"), "Inputs"],
    path: "Benchmarks/\(name)", swiftSettings: settings,
    plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")])
}

let package = Package(
  name: "crop-benchmarks",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(name: "crop", path: ".."),
    // Without its traits: they need packages that count allocations, which Benchmarks/malloc does on the running server.
    .package(url: "https://github.com/ordo-one/benchmark", exact: "1.38.1", traits: []),
  ],
  targets: [
    .target(name: "Inputs", dependencies: [core], swiftSettings: settings),
    .executableTarget(
      name: "measure", dependencies: [core, "Inputs"], path: "Sources/Measure", swiftSettings: settings),
    suite("KernelBenchmarks"),
    suite("MethodBenchmarks"),
    suite("FormatBenchmarks"),
  ]
)

// What needs `measure` alone, such as `make bench-peers`, does without the suites and what they depend on.
if Context.environment["MEASURE_ONLY"] != nil {
  package.targets.removeAll { $0.name.hasSuffix("Benchmarks") }
  package.dependencies.removeAll {
    if case .sourceControl(_, let location, _) = $0.kind { location.hasSuffix("/benchmark") } else { false }
  }
}
