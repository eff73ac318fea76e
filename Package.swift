// swift-tools-version:6.2
import PackageDescription

// Arrows point only downwards; ARCHITECTURE.md draws them, tools/check-boundaries.sh checks them.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

// This file is compiled for the machine that builds; whoever builds for another one says so: PACKAGE_ARCHITECTURE=arm64.
#if arch(x86_64)
  let builder = "x86_64"
#else
  let builder = "arm64"
#endif
let isX86 = Context.environment["PACKAGE_ARCHITECTURE", default: builder] == "x86_64"

// x86-64 has optional instructions that a program must ask for; arm64's NEON is always there.
let levelTargets: [Target] =
  !isX86
  ? []
  : [
    .target(name: "CProcessor"),
    .target(
      name: "KernelsV3",
      swiftSettings: settings + [.define("FUSED"), .unsafeFlags(["-Xcc", "-march=x86-64-v3"])]),
    .target(
      name: "KernelsV4",
      swiftSettings: settings + [
        .define("FUSED"), .define("WIDE"), .unsafeFlags(["-Xcc", "-march=x86-64-v4"]),
      ]),
  ]
let kernelLevels: [Target.Dependency] =
  ["CMemory", "KernelsBaseline"] + (isX86 ? ["CProcessor", "KernelsV3", "KernelsV4"] : [])

// What pruning is made of, lowest first.
let pruningParts: [Target.Dependency] = [
  "PruningNumerics", "GreedySearch", "Parameters", "VisionLayouts", "LearnedNetworks", "Localization",
]

let package = Package(
  name: "crop",
  products: [
    .executable(name: "crop", targets: ["crop"]),
    // For the package in Fuzz, which links it with libFuzzer.
    .library(name: "FuzzTargets", targets: ["FuzzTargets"]),
    // For the package in Benchmarks, which times what the service computes and reads without the service.
    .library(
      name: "CropCore",
      targets: [
        "HTTP1", "JSON", "Kernels", "TensorFormats", "Tensors", "TokenPruning",
        "PruningNumerics", "GreedySearch", "Parameters", "VisionLayouts", "LearnedNetworks", "Localization",
      ]),
  ],
  // Exact, so that every build has the same versions; a committed Package.resolved would hold commit ids, which differ
  // between mirrors.
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-configuration", exact: "1.4.0", traits: []),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    // What swift-configuration is made of, and would take the newest of.
    .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
    .package(url: "https://github.com/apple/swift-system", exact: "1.8.1"),
  ],
  targets: [
    // Pure: no Foundation, no Dispatch, no Glibc, no clock, no environment.
    .target(name: "JSON", swiftSettings: settings),
    .target(name: "YAML", swiftSettings: settings),
    .target(name: "Tensors", dependencies: ["Kernels"], swiftSettings: settings),
    .target(
      name: "PruningNumerics", dependencies: ["Kernels", "Locking", "Tensors"], swiftSettings: settings),
    .target(name: "GreedySearch", dependencies: ["Kernels", "PruningNumerics"], swiftSettings: settings),
    .target(name: "Parameters", dependencies: ["JSON", "PruningNumerics"], swiftSettings: settings),
    .target(
      name: "VisionLayouts", dependencies: ["JSON", "PruningNumerics", "Parameters"], swiftSettings: settings),
    .target(
      name: "LearnedNetworks",
      dependencies: ["JSON", "Kernels", "PruningNumerics", "Parameters", "Tensors", "VisionLayouts"],
      swiftSettings: settings),
    .target(
      name: "Localization",
      dependencies: ["JSON", "Kernels", "PruningNumerics", "Parameters", "Tensors", "VisionLayouts"],
      swiftSettings: settings),
    .target(
      name: "TokenPruning", dependencies: ["JSON", "Kernels", "Tensors"] + pruningParts,
      swiftSettings: settings),
    .target(name: "TensorFormats", dependencies: ["JSON", "Tensors"], swiftSettings: settings),
    .target(name: "HTTP1", swiftSettings: settings),

    // Inner loops: one source, compiled once per processor level, chosen at start.
    .target(name: "Kernels", dependencies: kernelLevels, swiftSettings: settings),
    .target(name: "KernelsBaseline", swiftSettings: settings),
    .target(name: "CMemory"),

    // TLS as values: bytes in, bytes out.
    .systemLibrary(
      name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .target(name: "TLS", dependencies: ["COpenSSL"], swiftSettings: settings),

    // Compressed bodies, by the system's zlib.
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "ContentCodings", dependencies: ["CZlib", "HTTP1"], swiftSettings: settings),

    // What threads share.
    .target(name: "Locking", swiftSettings: settings),

    // Sockets and threads.
    .target(name: "CLinux"),
    .target(name: "LibC", swiftSettings: settings),
    .target(
      name: "Transport",
      dependencies: [
        "CLinux", "ContentCodings", "HTTP1", "LibC", "Locking", "TLS",
      ],
      swiftSettings: settings),

    // Answers as pictures: grids and indices to SVG.
    .target(name: "TokenPictures", dependencies: ["VisionLayouts"], swiftSettings: settings),

    // Pages, samples and the contract, as bytes of the program.
    .target(name: "EmbeddedFiles"),

    // The one place that knows both HTTP and pruning.
    .target(
      name: "PruningService",
      dependencies: [
        "ContentCodings", "EmbeddedFiles", "HTTP1", "JSON", "Locking", "TensorFormats", "Tensors",
        "TokenPictures", "TokenPruning",
      ] + pruningParts,
      swiftSettings: settings),

    .executableTarget(
      name: "crop",
      dependencies: [
        "ContentCodings", "HTTP1", "JSON", "Kernels", "LibC", "Locking", "PruningService", "TensorFormats",
        "Tensors", "TLS", "TokenPictures", "TokenPruning", "Transport", "YAML",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Configuration", package: "swift-configuration"),
        .product(name: "Logging", package: "swift-log"),
        // Parts of Configuration, named so that their versions can be.
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "SystemPackage", package: "swift-system"),
      ] + pruningParts,
      swiftSettings: settings),

    // What tools/guards.py counts the instructions of.
    .executableTarget(
      name: "hot-paths",
      dependencies: [
        "HTTP1", "JSON", "Kernels", "PruningService", "TensorFormats", "Tensors", "TokenPruning",
      ] + pruningParts,
      path: "Benchmarks/HotPaths", swiftSettings: settings),

    // What is fuzzed and which laws hold; the tests replay its corpora.
    .target(
      name: "FuzzTargets",
      dependencies: [
        "ContentCodings", "HTTP1", "JSON", "PruningService", "TensorFormats", "Tensors", "TokenPruning",
      ] + pruningParts,
      path: "Tests/FuzzTargets", swiftSettings: settings),
    .target(name: "FuzzCorpus", path: "Tests/FuzzCorpus", swiftSettings: settings),
    .testTarget(name: "FuzzTests", dependencies: ["FuzzCorpus", "FuzzTargets"], swiftSettings: settings),
    .testTarget(
      name: "GuardPageTests", dependencies: ["FuzzCorpus", "HTTP1", "JSON", "KernelReferences", "Kernels"],
      swiftSettings: settings),

    // The obvious loops, which every set of kernels is compared with.
    .target(
      name: "KernelReferences", dependencies: ["Kernels", "KernelsBaseline"], path: "Tests/KernelReferences",
      swiftSettings: settings),
    .testTarget(
      name: "KernelsTests", dependencies: ["KernelReferences", "Kernels"], swiftSettings: settings),
    .testTarget(
      name: "YAMLTests", dependencies: ["YAML", .product(name: "Yams", package: "Yams")],
      swiftSettings: settings),
    .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: settings),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors"], swiftSettings: settings),
    .testTarget(
      name: "VisionLayoutsTests",
      dependencies: ["JSON", "Localization", "PruningNumerics", "VisionLayouts"], swiftSettings: settings),
    .testTarget(
      name: "LearnedNetworksTests",
      dependencies: ["JSON", "LearnedNetworks", "PruningNumerics", "Tensors", "VisionLayouts"],
      swiftSettings: settings),
    .testTarget(
      name: "LocalizationTests", dependencies: ["JSON", "Localization", "PruningNumerics", "VisionLayouts"],
      swiftSettings: settings),
    .testTarget(
      name: "TokenPruningTests",
      dependencies: [
        "JSON", "KernelReferences", "Kernels", "Locking", "Tensors", "TokenPruning", "TensorFormats",
      ] + pruningParts,
      swiftSettings: settings),
    .testTarget(
      name: "TensorFormatsTests",
      dependencies: ["ContentCodings", "HTTP1", "JSON", "TensorFormats", "Tensors"], swiftSettings: settings),
    .testTarget(
      name: "TokenPicturesTests", dependencies: ["TokenPictures", "VisionLayouts"], swiftSettings: settings),
    .testTarget(
      name: "HTTP1Tests", dependencies: ["HTTP1"], exclude: ["Conformance"], swiftSettings: settings),
    // A client made of OpenSSL alone, and certificates for it: what the tests of TLS talk with.
    .target(
      name: "TLSTesting", dependencies: ["COpenSSL"], path: "Tests/TLSTesting", swiftSettings: settings),
    .testTarget(
      name: "ContentCodingsTests", dependencies: ["ContentCodings", "HTTP1"], swiftSettings: settings),
    .testTarget(
      name: "TLSTests", dependencies: ["COpenSSL", "TLS", "TLSTesting"], swiftSettings: settings),
    .testTarget(
      name: "TransportTests",
      dependencies: ["ContentCodings", "HTTP1", "Locking", "TLS", "TLSTesting", "Transport"],
      swiftSettings: settings),
    .testTarget(
      name: "PruningServiceTests",
      dependencies: [
        "ContentCodings", "HTTP1", "JSON", "Locking", "PruningService", "TensorFormats", "Tensors",
        "TokenPruning", .product(name: "Yams", package: "Yams"),
      ] + pruningParts,
      swiftSettings: settings),
    .testTarget(
      name: "cropTests",
      dependencies: [
        "PruningService", "crop", "JSON", "Kernels", "Locking", "TensorFormats", "Tensors", "Transport",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ] + pruningParts,
      swiftSettings: settings),
  ] + levelTargets
)

// What builds the program alone, such as the image, needs neither the folders of tests and counts nor what they depend on.
if Context.environment["PACKAGE_SOURCES_ONLY"] != nil {
  package.targets.removeAll { $0.type == .test || $0.path != nil }
  package.products.removeAll { $0.name == "FuzzTargets" }
  package.dependencies.removeAll {
    if case .sourceControl(_, let location, _) = $0.kind { location.hasSuffix("/Yams") } else { false }
  }
}
