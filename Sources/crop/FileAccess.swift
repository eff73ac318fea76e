import FoundationEssentials
import LibC

/// Why the system rejected a file, in a few words.
struct FileFailure: Error, Equatable, CustomStringConvertible {
  let description: String

  init(_ code: Int32 = errno) { description = String(cString: strerror(code)).lowercased() }
}

/// All bytes of a file, a pipe or a device; `-` is standard input.
///
/// - Parameter limit: reading ends once there are more than this.
func readFile(_ path: String, upTo limit: Int = .max) throws(FileFailure) -> [UInt8] {
  let isStandardInput = path == "-"
  let descriptor = isStandardInput ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw FileFailure() }
  defer { if !isStandardInput { close(descriptor) } }
  var status = stat()
  guard fstat(descriptor, &status) == 0 else { throw FileFailure() }
  // The system says so only when it is read, where a folder was meant for a file.
  guard status.st_mode & S_IFMT != S_IFDIR else { throw FileFailure(EISDIR) }
  var bytes: [UInt8] = []
  if status.st_mode & S_IFMT == S_IFREG { bytes.reserveCapacity(min(Int(status.st_size), limit) + 1) }
  var part = [UInt8](repeating: 0, count: 1 << 18)
  while bytes.count <= limit {
    let count = part.withUnsafeMutableBytes { systemRead(descriptor, $0) }
    guard count != 0 else { break }
    if count > 0 {
      bytes.append(contentsOf: part[..<count])
    } else if errno != EINTR {
      throw FileFailure()
    }
  }
  return bytes
}

/// The same of a file that the command line names.
///
/// - Parameter name: what messages call it, where that is not its path alone.
func readInput(
  _ path: String, named name: String? = nil, upTo limit: Int = .max
) throws(InputError) -> [UInt8] {
  do throws(FileFailure) {
    return try readFile(path, upTo: limit)
  } catch {
    throw InputError("\(name ?? path): cannot be read (\(error))")
  }
}

/// The same of a file that a setting names, whole.
///
/// - Parameter name: what messages call it.
func readFile(_ path: String, named name: String, upTo limit: Int) throws(ConfigurationError) -> [UInt8] {
  let bytes: [UInt8]
  do throws(FileFailure) {
    bytes = try readFile(path, upTo: limit)
  } catch {
    throw ConfigurationError("\(name): cannot be read (\(error))")
  }
  guard bytes.count <= limit else { throw ConfigurationError("\(name): larger than \(limit) bytes") }
  return bytes
}

/// Creates or replaces a file, whole or not at all; a pipe or a device is written to.
func writeFile(_ bytes: [UInt8], to path: String) throws(InputError) {
  var status = stat()
  if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
    return try writeInPlace(bytes, to: path)
  }
  do {
    try Data(bytes).write(to: URL(filePath: path), options: .atomic)
  } catch {
    throw InputError("\(path): cannot be written (\(fileFailure(error)))")
  }
}

private func writeInPlace(_ bytes: [UInt8], to path: String) throws(InputError) {
  let descriptor = open(path, O_WRONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw InputError("\(path): cannot be written (\(FileFailure()))") }
  defer { close(descriptor) }
  if let code = StandardStreams.write(bytes, to: descriptor) {
    throw InputError("\(path): cannot be written (\(FileFailure(code)))")
  }
}

/// Why Foundation rejected a file, in a few words.
func fileFailure(_ error: any Error) -> String {
  guard let error = error as? CocoaError else { return "\(error)" }
  switch error.code {
  case .fileNoSuchFile, .fileReadNoSuchFile: return "no such file or directory"
  case .fileReadNoPermission, .fileWriteNoPermission: return "permission denied"
  case .fileWriteOutOfSpace: return "no space left"
  default: return "error \(error.code.rawValue)"
  }
}

private func systemRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawBufferPointer) -> Int {
  read(descriptor, bytes.baseAddress, bytes.count)
}
