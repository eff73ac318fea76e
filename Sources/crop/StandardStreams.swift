import ArgumentParser
import LibC

/// Standard output for results, standard error for everything said about them.
enum StandardStreams {
  /// Writes everything; where that fails, says so and ends the program: a result that is cut off is none.
  static func writeOutput(_ text: String) { writeOutput(Array(text.utf8)) }

  static func writeOutput(_ bytes: [UInt8]) {
    guard let code = write(bytes, to: STDOUT_FILENO) else { return }
    endProcess(Exit.cannotWrite.saying("standard output: \(String(cString: strerror(code)).lowercased())"))
  }

  /// Writes everything, or gives up silently: there is nowhere left to complain.
  static func writeError(_ text: String) { _ = write(Array(text.utf8), to: STDERR_FILENO) }

  /// - Returns: the error number of what failed, if anything did.
  static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32? {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { systemWrite(descriptor, $0) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if count == 0 || errno != EINTR {
        return count == 0 ? EIO : errno
      }
    }
    return nil
  }
}

/// Ends the program; inside a command, `exit` alone would be the command's own.
func endProcess(_ code: ExitCode) -> Never { exit(code.rawValue) }

/// write(2), where a member of the same name hides it.
func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
  write(descriptor, bytes.baseAddress, bytes.count)
}
