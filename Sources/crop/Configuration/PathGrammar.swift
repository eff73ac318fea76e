extension ValueGrammar<String?> {
  /// An absolute path, or `none`.
  static var path: Self {
    Self(
      valueName: "path", expected: "an absolute path, or none",
      parse: { text in
        if text == "none" { return .some(nil) }
        // A comma would end the path where paths stand in lists.
        guard text.hasPrefix("/"), text.utf8.count > 1, !text.utf8.contains(0), !text.contains(",") else {
          return nil
        }
        return text
      },
      render: { $0 ?? "none" })
  }
}
