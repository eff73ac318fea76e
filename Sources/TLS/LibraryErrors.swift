import COpenSSL

/// OpenSSL's error queue of the calling thread.
enum LibraryErrors {
  /// To be called before an operation whose errors are asked for.
  static func clear() { ERR_clear_error() }

  /// The first error since ``clear()``, which is the cause of the others, in words.
  static func first() -> String {
    let code = ERR_peek_error()
    guard code != 0 else { return "unknown error" }
    var text = [CChar](repeating: 0, count: 256)
    ERR_error_string_n(code, &text, text.count)
    let line = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // error:0A00010B:SSL routines:function or nothing:reason
    return line.split(separator: ":", maxSplits: 4, omittingEmptySubsequences: false).last.map(String.init)
      ?? line
  }
}
