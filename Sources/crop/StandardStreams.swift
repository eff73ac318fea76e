#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Standard output for results, standard error for everything said about them.
enum StandardStreams {
  static func writeOutput(_ text: String) { write(text.utf8, to: STDOUT_FILENO) }

  static func writeError(_ text: String) { write(text.utf8, to: STDERR_FILENO) }

  /// Writes everything, or gives up silently: there is nowhere left to complain.
  private static func write(_ text: String.UTF8View, to descriptor: Int32) {
    var rest = Array(text)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { systemWrite(descriptor, $0) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if count == 0 || errno != EINTR {
        return
      }
    }
  }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
  write(descriptor, bytes.baseAddress, bytes.count)
}
