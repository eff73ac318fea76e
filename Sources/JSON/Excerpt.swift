extension String {
  /// At most 60 scalars of a client's text, control characters replaced, so that it can be quoted in an error.
  ///
  /// `prefix` would count characters, and a letter with a megabyte of joiners behind it is one.
  public var excerpt: String {
    var result = String.UnicodeScalarView()
    for (place, scalar) in unicodeScalars.enumerated() {
      guard place < 60 else { return String(result) + "..." }
      result.append(scalar.value < 0x20 || scalar.value == 0x7f ? " " : scalar)
    }
    return String(result)
  }
}
