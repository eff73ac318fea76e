import FoundationEssentials

/// Creates or replaces a file, whole or not at all.
func writeFile(_ bytes: [UInt8], to path: String) throws(InputError) {
  do {
    try Data(bytes).write(to: URL(filePath: path), options: .atomic)
  } catch {
    throw InputError("\(path): cannot be written (\(fileFailure(error)))")
  }
}

/// Why the system refused a file, in a few words.
func fileFailure(_ error: any Error) -> String {
  guard let error = error as? CocoaError else { return "\(error)" }
  switch error.code {
  case .fileNoSuchFile, .fileReadNoSuchFile: return "no such file or directory"
  case .fileReadNoPermission, .fileWriteNoPermission: return "permission denied"
  case .fileWriteOutOfSpace: return "no space left"
  default: return "error \(error.code.rawValue)"
  }
}
