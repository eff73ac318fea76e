/// One part of the program that reads bytes it cannot trust, and the laws that hold whatever the bytes are.
///
/// To add one: a file with an extension that holds it as a static member, its line in ``all``, and seeds in
/// tools/fuzz-seeds.py. libFuzzer then runs it (`make fuzz`), and the tests replay its corpus.
public struct FuzzTarget: Sendable, CustomStringConvertible {
  /// Names the archive in Fuzz/Corpus.
  public let name: String
  /// The longest input worth trying: long enough to cross the limits, short enough for thousands a second.
  public let maximumBytes: Int
  /// Whether an input is what the program reads. What it is compared with is then worth trying; where an input is
  /// choices, noting comparisons would take a third of the time for nothing.
  public let readsText: Bool
  private let laws: @Sendable ([UInt8]) throws(BrokenLaw) -> Void

  init(
    _ name: String, maximumBytes: Int, readsText: Bool = true,
    _ laws: @escaping @Sendable ([UInt8]) throws(BrokenLaw) -> Void
  ) {
    self.name = name
    self.maximumBytes = maximumBytes
    self.readsText = readsText
    self.laws = laws
  }

  /// Tries one input.
  ///
  /// - Throws: what should have held and did not. A trap in the code under test ends the process.
  public func run(_ bytes: [UInt8]) throws(BrokenLaw) { try laws(bytes) }

  public var description: String { name }

  public static let all: [FuzzTarget] = [
    .requestHead, .chunkedBody, .messageStream, .contentCoding, .mediaType, .query, .peers, .json, .numbers,
    .base64, .jsonTensors, .safetensors, .npy, .npz, .multipart, .inference, .model, .regionText, .request,
    .operation,
  ]
}

/// What should hold for every input and does not for one.
public struct BrokenLaw: Error, Sendable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}

/// States a law; `law` says what should have held.
func require(_ holds: Bool, _ law: @autoclosure () -> String) throws(BrokenLaw) {
  guard holds else { throw BrokenLaw(law()) }
}
