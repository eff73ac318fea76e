/// ``FormatLoops`` and ``RowLoops`` of one format, for the table.
public struct FormatTable: Sendable {
  public typealias Row = UnsafeRawPointer
  public typealias Floats = UnsafeMutablePointer<Float>
  public typealias Doubles = UnsafeMutablePointer<Double>

  public let widen: @Sendable (Row, Floats, Int) -> Void
  public let measure: @Sendable (Row, Floats, Int) -> Double
  public let measureFour: @Sendable (Row, Floats, Int) -> SIMD4<Double>
  public let measureWith: @Sendable (UnsafePointer<Double>, Row, Floats, Int, Doubles) -> Void
  public let accumulate: @Sendable (Row, Int, Int, Doubles, Int) -> Void
  public let column: @Sendable (Row, Row, Row, Row, Row, Int, Floats) -> Void
  public let tile: @Sendable (Row, Row, Row, Row, Row, Row, Row, Row, Int, Floats) -> Void
  public let product: @Sendable (Row, Row, Int) -> Float

  public static let float32 = FormatTable(Binary32.self)
  public static let float16 = FormatTable(Binary16.self)
  public static let bfloat16 = FormatTable(Brain16.self)

  // Inlined, so that the loops are compiled for the format.
  @inline(__always)
  private init<Format: FloatFormat>(_: Format.Type) {
    widen = { FormatLoops<Format>.widenAll($0, $1, $2) }
    measure = { FormatLoops<Format>.measure($0, $1, $2) }
    measureFour = { FormatLoops<Format>.measureFour($0, $1, $2) }
    measureWith = { FormatLoops<Format>.measureWith($0, $1, $2, $3, $4) }
    accumulate = { FormatLoops<Format>.accumulate($0, $1, $2, $3, $4) }
    column = { RowLoops<Format>.column($0, ($1, $2, $3, $4), $5, $6) }
    tile = { RowLoops<Format>.tile(($0, $1, $2, $3), ($4, $5, $6, $7), $8, $9) }
    product = { RowLoops<Format>.product($0, $1, $2) }
  }
}
