public enum Version {
  /// Semantic version of the program and of its HTTP interface.
  public static let current = "0.1.0"
}
