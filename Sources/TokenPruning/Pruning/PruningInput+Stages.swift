import JSON
import PruningNumerics
import Tensors

extension PruningInput {
  /// The same for one of several budgets, with random choices of its own.
  func part(_ index: Int) -> PruningInput {
    replacing(seed: seed &+ UInt64(index))
  }

  /// The most numbers a stage's attention may have over all tokens: 256 MiB of them.
  private static let maximumSpreadCount = 1 << 25

  /// The input as one stage sees it: its own attention tensor takes the place of `attention`.
  ///
  /// The tensor's last axis has a column for every original token, or one for every survivor of the stage
  /// before; the latter is spread over the original positions, with 0 for tokens that are gone.
  func attending(
    by stage: PruningStage, number: Int, over survivors: [Int]
  ) throws(PruningError) -> PruningInput {
    guard let tensor = tensors[stage.attention] else {
      // Methods that look at features only need no attention, and the others ask for it by name.
      if stage.attention == "attention" { return self }
      throw PruningError(
        at: "/stages/\(number)/attention", "there is no tensor '\(stage.attention.excerpt)' in the request"
      )
    }
    if stage.attention == "attention", tensor.shape.dimensions.last == tokenCount { return self }
    let columns = tensor.shape.dimensions.last ?? 0
    guard (1...3).contains(tensor.rank), columns == tokenCount || columns == survivors.count else {
      throw PruningError(
        at: stage.attention,
        "the last axis must have \(tokenCount) columns, one per token, or \(survivors.count), one per token "
          + "the stage before kept; its shape is \(tensor.shape)")
    }
    try requireFinite(tensor, named: stage.attention)
    var tensors = tensors
    tensors["attention"] =
      columns == tokenCount ? tensor : try spread(tensor, over: survivors, stage.attention)
    return replacing(tensors: tensors)
  }

  private func spread(_ tensor: Tensor, over survivors: [Int], _ name: String) throws(PruningError) -> Tensor
  {
    // A tensor of many rows over few survivors would grow by as much as survivors are fewer than tokens.
    let rows = tensor.shape.dimensions.dropLast().reduce(1, *)
    let (count, overflow) = rows.multipliedReportingOverflow(by: tokenCount)
    guard !overflow, count <= Self.maximumSpreadCount else {
      throw PruningError(
        at: name, "has \(rows) rows, too many to spread over \(tokenCount) tokens; send their mean")
    }
    let values = tensor.doubles()
    var wide = [UInt64](repeating: 0, count: count)
    for row in 0..<rows {
      for (column, token) in survivors.enumerated() {
        wide[row * tokenCount + token] = values[row * survivors.count + column].bitPattern.littleEndian
      }
    }
    do throws(TensorError) {
      let shape = try Shape(tensor.shape.dimensions.dropLast() + [tokenCount])
      let bytes = wide.withUnsafeBytes { Array($0) }
      return try Tensor(elementType: .float64, shape: shape, bytes: bytes[...])
    } catch {
      throw PruningError(at: name, "\(error)")
    }
  }
}
