// swift-tools-version:6.1
import PackageDescription

// Two Swift servers that do the same work as `POST /prune?method=topk`; started by Benchmarks/bench_peers.py.
#if arch(x86_64)
  // Without it a half-precision number is widened by a library call, which would be no fair comparison.
  let processor: [SwiftSetting] = [.unsafeFlags(["-Xcc", "-march=x86-64-v3"])]
#else
  let processor: [SwiftSetting] = []
#endif

let package = Package(
  name: "crop-peers",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
    .package(url: "https://github.com/swhitty/FlyingFox", exact: "0.27.1"),
  ],
  targets: [
    .target(name: "PeerWork", swiftSettings: processor),
    .executableTarget(
      name: "hummingbird-peer",
      dependencies: ["PeerWork", .product(name: "Hummingbird", package: "hummingbird")],
      path: "Sources/HummingbirdPeer"),
    .executableTarget(
      name: "flyingfox-peer",
      dependencies: ["PeerWork", .product(name: "FlyingFox", package: "FlyingFox")],
      path: "Sources/FlyingFoxPeer"),
  ]
)
