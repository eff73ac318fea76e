/// The cosine of two rows from their inner product and their lengths, in float64.
enum Cosine {
  /// From here on two rows have the same direction, or opposite ones: the rest is rounding.
  ///
  /// Copies of one row, and multiples of it, must be equally far from each other wherever they stand, or rounding
  /// would order them. Products and lengths of 4,096 float32 numbers err by a few units of 2^-53, and changing one
  /// element of a row by its last bit changes the cosine by less than 2^-48.
  static let sameDirection = 1 - 0x1p-48

  /// In -1...1; 0 where either row has no length.
  @inline(__always)
  public static func value(product: Double, _ length: Double, _ otherLength: Double) -> Double {
    guard length > 0, otherLength > 0 else { return 0 }
    let cosine = product / (length * otherLength)
    return cosine.magnitude < sameDirection ? cosine : Double(signOf: cosine, magnitudeOf: 1)
  }
}
