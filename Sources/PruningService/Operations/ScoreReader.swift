import HTTP1
import Tensors
import TokenPruning

/// Adds up rows of scores while the body that holds them arrives, in the order and so to the bits of all at once.
final class ScoreReader: BodyReader {
  private let prefix: [UInt8]
  private let elementType: ElementType
  private let count: Int
  private var partial: ScoreRow.ColumnSums?
  /// Whether the body begins as expected; nil until so much of it is there.
  private var fits: Bool?

  /// - Parameters:
  ///   - prefix: what the body is expected to begin with, before the scores.
  ///   - count: of scores in a row.
  init(_ prefix: [UInt8], _ elementType: ElementType, _ count: Int) {
    self.prefix = prefix
    self.elementType = elementType
    self.count = count
    partial = ScoreRow.ColumnSums(count: count, elementType)
  }

  func read(_ body: [UInt8]) {
    let prefix = prefix
    guard body.count >= prefix.count else { return }
    if fits == nil { fits = body.span.bytes.begins(with: prefix.span.bytes) }
    if fits == true { partial?.add(body[prefix.count...]) }
  }

  /// Hands over what was added up of rows of `count` scores behind `prefix`; nil when the body turned out to be another one.
  func takeSums(of prefix: [UInt8], _ elementType: ElementType, _ count: Int) -> ScoreRow.ColumnSums? {
    guard fits == true, prefix == self.prefix, elementType == self.elementType, count == self.count else {
      return nil
    }
    defer { partial = nil }
    return partial
  }
}
