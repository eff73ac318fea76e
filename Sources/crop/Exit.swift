import ArgumentParser

/// Why the program ends without doing what it was asked to; the codes are those of sysexits.h.
enum Exit: Sendable {
  /// 65: the files or parameters do not hold what the operation needs.
  case badInput
  /// 1: the server answered, or failed to answer, a health check.
  case unhealthy
  /// 69: the address is taken or not allowed.
  case cannotListen
  /// 71: the system lacks threads or memory.
  case cannotStart
  /// 74: standard output takes no more.
  case cannotWrite
  /// 78: an unknown or unusable setting.
  case badConfiguration

  var code: ExitCode {
    switch self {
    case .badInput: ExitCode(65)
    case .unhealthy: ExitCode(1)
    case .cannotListen: ExitCode(69)
    case .cannotStart: ExitCode(71)
    case .cannotWrite: ExitCode(74)
    case .badConfiguration: ExitCode(78)
    }
  }

  /// Says `message` on standard error, each line with the program's name.
  ///
  /// - Returns: what to throw.
  func saying(_ message: String) -> ExitCode {
    for line in message.split(separator: "\n") { StandardStreams.writeError("crop: \(line)\n") }
    return code
  }

  /// Runs `body`, whose failure ends the program with this status, said as ``saying(_:)`` does.
  func unless<Value, Failure: Error>(_ body: () throws(Failure) -> Value) throws(ExitCode) -> Value {
    do throws(Failure) {
      return try body()
    } catch {
      throw saying("\(error)")
    }
  }

  static let explanation = """
    EXIT STATUS
      0   done (healthcheck: healthy)
      1   unhealthy, or an unexpected failure
      64  wrong use of the command line
      65  files or parameters that cannot be processed
      69  cannot listen on the address
      71  the system grants too few threads
      74  standard output cannot be written
      78  wrong configuration
    """
}
