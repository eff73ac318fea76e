import JSON
import PruningService
import TensorFormats
import Tensors

extension Answer {
  /// A readable digest: scalars in full, long lists by their beginning, tensors by shape, and where the tokens
  /// form one grid, a map of it.
  func summary(grid: TokenGrid?) -> String {
    let members = json
    let tensors = samples.enumerated().flatMap { index, sample in
      sample.tensors.map { tensor in
        let name = isBatched ? "\(tensor.name).\(index)" : tensor.name
        return [name, "\(tensor.tensor.elementType.rawValue) \(tensor.tensor.shape)"]
      }
    }
    let rows = members.members.map { [$0.name, Self.digest($0.value)] } + tensors
    let table = TextTable(header: [], rows: rows).text
    guard let grid, let indices = Self.chosenIndices(members), let map = grid.map(of: indices) else {
      return table
    }
    return table + "\n" + map
  }

  private static func chosenIndices(_ members: JSONObject) -> [Int]? {
    members["kept_indices"]?.integers ?? members["region_indices"]?.integers
  }

  private static func digest(_ value: JSONValue) -> String {
    let shown = 12
    switch value {
    case .string(let text): return text
    case .array(let elements) where elements.count > shown:
      let beginning = elements.prefix(shown).map(\.description).joined(separator: ",")
      return "[\(beginning),...] (\(elements.count))"
    case .object(let object) where object["data"] != nil && object["shape"] != nil:
      return "\(object["dtype"]?.stringValue.map { "\($0) " } ?? "")\(object["shape"]?.description ?? "")"
    default: return value.description
    }
  }
}

/// Rows and columns of a token grid, for drawing.
struct TokenGrid: Equatable, Sendable {
  let rows: Int
  let columns: Int

  /// Larger grids do not fit a terminal.
  static let largestExtent = 120

  /// The grid that `layout` states, or a square one of `tokenCount` tokens; nil when it is no such grid.
  init?(layout: JSONValue?, tokenCount: Int?) {
    if let layout = layout?.objectValue {
      guard layout["type"]?.stringValue == "grid", let rows = layout["rows"]?.integerValue,
        let columns = layout["columns"]?.integerValue
      else { return nil }
      self.init(rows: rows, columns: columns)
    } else {
      guard let tokenCount, tokenCount > 0 else { return nil }
      let side = Int(Double(tokenCount).squareRoot().rounded())
      guard side * side == tokenCount else { return nil }
      self.init(rows: side, columns: side)
    }
  }

  private init?(rows: Int, columns: Int) {
    guard (1...Self.largestExtent).contains(rows), (1...Self.largestExtent).contains(columns) else {
      return nil
    }
    self.rows = rows
    self.columns = columns
  }

  /// `#` for each index listed, `.` for the others, one line per row; nil when an index lies outside.
  func map(of indices: [Int]) -> String? {
    var cells = [Character](repeating: ".", count: rows * columns)
    for index in indices {
      guard cells.indices.contains(index) else { return nil }
      cells[index] = "#"
    }
    return (0..<rows).map { row in
      cells[(row * columns)..<((row + 1) * columns)].map { String($0) }.joined(separator: " ") + "\n"
    }.joined()
  }
}

extension TensorDocument {
  /// N as far as the shapes tell without knowing the operation: features [N, D], a row of attention [..., N].
  var tokenCount: Int? {
    if case .one(let features)? = tensors["image_features"], features.rank == 2 { return features.shape[0] }
    for name in ["attention", "reference_attention"] {
      if case .one(let row)? = tensors[name], row.rank >= 1 { return row.shape[row.rank - 1] }
    }
    return nil
  }
}
