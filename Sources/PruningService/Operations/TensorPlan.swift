import HTTP1
import TensorFormats
import Tensors

/// Names, element types and shapes of the tensors of a document: what of them does not change from one request of a kind
/// to the next.
struct TensorForms: Sendable {
  private struct Form: Sendable {
    let name: String
    let isList: Bool
    let tensors: [(type: ElementType, shape: Shape)]
  }

  private let forms: [Form]

  init(_ bundle: TensorBundle) {
    forms = bundle.names.map { name in
      switch bundle[name] {
      case .one(let tensor)?: Form(name: name, isList: false, tensors: [(tensor.elementType, tensor.shape)])
      case .many(let list)?: Form(name: name, isList: true, tensors: list.map { ($0.elementType, $0.shape) })
      case nil: Form(name: name, isList: true, tensors: [])
      }
    }
  }

  /// Whether the tensors of `bundle` differ in their elements alone from those this was made of.
  func fit(_ bundle: TensorBundle) -> Bool {
    bundle.entries.count == forms.count
      && forms.allSatisfy { form in
        switch bundle[form.name] {
        case .one(let tensor)?:
          !form.isList && tensor.elementType == form.tensors[0].type && tensor.shape == form.tensors[0].shape
        case .many(let list)?:
          form.isList && list.count == form.tensors.count
            && zip(list, form.tensors).allSatisfy { $0.elementType == $1.type && $0.shape == $1.shape }
        case nil: false
        }
      }
  }

  /// The bytes of all tensors, list after list in the order of their names.
  static func bytes(of bundle: TensorBundle) -> [ArraySlice<UInt8>] {
    var bytes: [ArraySlice<UInt8>] = []
    for name in bundle.names {
      switch bundle[name] {
      case .one(let tensor)?: bytes.append(tensor.bytes)
      case .many(let list)?: bytes += list.map(\.bytes)
      case nil: break
      }
    }
    return bytes
  }
}

/// Which bytes of a request's tensors make up the tensors of each image, so that these are found without looking at
/// shapes and axes again.
struct TensorPlan: Sendable {
  private struct Cut: Sendable {
    let name: String
    let type: ElementType
    let shape: Shape
    /// In the order of ``TensorForms/bytes(of:)``.
    let source: Int
    let range: Range<Int>
  }

  private let images: [[Cut]]

  /// - Returns: nil where a tensor of an image is a copy in another order.
  init?(_ samples: [[String: Tensor]], of sources: [ArraySlice<UInt8>]) {
    let addresses = sources.map { $0.withUnsafeBytes { Int(bitPattern: $0.baseAddress) } }
    var images: [[Cut]] = []
    for sample in samples {
      var cuts: [Cut] = []
      for name in sample.keys.sorted() {
        guard let tensor = sample[name] else { continue }
        let start = tensor.bytes.withUnsafeBytes { Int(bitPattern: $0.baseAddress) }
        let source = sources.indices.first {
          addresses[$0] <= start && start + tensor.bytes.count <= addresses[$0] + sources[$0].count
        }
        guard let source else { return nil }
        let offset = start - addresses[source]
        cuts.append(
          Cut(
            name: name, type: tensor.elementType, shape: tensor.shape, source: source,
            range: offset..<(offset + tensor.bytes.count)))
      }
      images.append(cuts)
    }
    self.images = images
  }

  /// The tensors of each image, as slices of the sources of another request of the same forms.
  func samples(of sources: [ArraySlice<UInt8>]) -> [[String: Tensor]] {
    images.map { cuts in
      var sample: [String: Tensor] = [:]
      for cut in cuts {
        let source = sources[cut.source]
        let start = source.startIndex + cut.range.lowerBound
        do {
          sample[cut.name] = try Tensor(
            elementType: cut.type, shape: cut.shape, bytes: source[start..<(start + cut.range.count)])
        } catch {
          preconditionFailure("as many bytes as in the request that was planned for: \(error)")
        }
      }
      return sample
    }
  }
}

/// Where the tensors of a body lie that ends with nothing but tensors: all that is said of them stands before.
struct BodyPlan: Sendable {
  private let prefix: [UInt8]
  private let byteCount: Int
  /// In the order of ``TensorForms/bytes(of:)``.
  private let ranges: [Range<Int>]

  /// Longer prefixes are not kept.
  private static let maximumPrefixBytes = 16 << 10

  /// - Returns: nil where the tensors are not the end of the body, as it is and without gaps.
  init?(_ body: [UInt8], _ sources: [ArraySlice<UInt8>]) {
    let start = body.count - sources.reduce(0) { $0 + $1.count }
    guard !sources.isEmpty, (1...Self.maximumPrefixBytes).contains(start) else { return nil }
    let base = body.withUnsafeBytes { Int(bitPattern: $0.baseAddress) }
    let ranges = sources.map { source -> Range<Int> in
      // Nothing is nowhere: its address may be any.
      guard !source.isEmpty else { return body.count..<body.count }
      let offset = source.withUnsafeBytes { Int(bitPattern: $0.baseAddress) } - base
      return offset..<(offset &+ source.count)
    }
    // Ranges that follow on one another, begin at the prefix and are as long as the rest are the rest.
    var end = start
    for range in ranges.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }) {
      guard range.lowerBound == end else { return nil }
      end = range.upperBound
    }
    guard end == body.count else { return nil }
    prefix = Array(body[..<start])
    byteCount = body.count
    self.ranges = ranges
  }

  /// The bytes of the tensors of another body, nil where it says anything else of them.
  func sources(in body: [UInt8]) -> [ArraySlice<UInt8>]? {
    fits(body) ? ranges.map { body[$0] } : nil
  }

  func fits(_ body: [UInt8]) -> Bool { fits(start: body, body.count) }

  /// Whether a body of that many bytes with this beginning fits.
  func fits(start: [UInt8], _ bodyByteCount: Int) -> Bool {
    bodyByteCount == byteCount && start.span.bytes.begins(with: prefix.span.bytes)
  }
}
