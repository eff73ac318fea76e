import ContentCodings
import Kernels
import PruningService
import TLS
import Transport

/// What `crop --version --verbose` prints: the program, and what it found on this machine.
enum VersionReport {
  static var text: String {
    """
    crop \(Version.current)
    swift: \(swift)
    cpu level: \(KernelSet.active.name) (available: \(CPULevel.available))
    processors: \(ProcessorBudget.current().explanation)
    readiness: \(ReadinessKind.standard.rawValue)
    openssl: \(TLSLibrary.version)
    zlib: \(Inflater.libraryVersion)

    """
  }

  /// The compiler that made the program.
  private static var swift: String {
    #if compiler(>=6.5)
      "6.5 or newer"
    #elseif compiler(>=6.4)
      "6.4"
    #elseif compiler(>=6.3)
      "6.3"
    #else
      "6.2"
    #endif
  }

  /// Whether these arguments ask for it; with anything else `--version` is the short one.
  static func isAskedFor(by arguments: [String]) -> Bool {
    arguments.sorted() == ["--verbose", "--version"]
  }
}
