import FoundationEssentials
import JSON
import PruningService
import TensorFormats
import Tensors

/// Input that an operation cannot use: a file, its content, or a parameter.
struct InputError: Error, Equatable, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }

  /// A problem of the service in the words of the command line: `--keep-tokens` for the pointer `/keep_tokens`, where that
  /// flag was given; names alone for what stands in files and JSON.
  init(_ problem: Problem, flags: Set<String>) {
    let pointer = problem.pointer ?? ""
    // A tensor's name is no pointer and stays as it is.
    var parts = pointer.hasPrefix("/") ? pointer.split(separator: "/").map { String($0) } : [pointer]
    if pointer.hasPrefix("/"), let first = parts.first, flags.contains(first) {
      parts[0] = "--" + first.map { $0 == "_" ? "-" : String($0) }.joined()
    }
    var detail = problem.detail
    let name = pointer.split(separator: "/").last.map { String($0) } ?? ""
    if !name.isEmpty, detail.hasPrefix("\(name) "), let last = parts.popLast() {
      // A sentence that begins with the name need not hear it twice.
      detail = last + detail.dropFirst(name.count)
    }
    self.init((parts.filter { !$0.isEmpty } + [detail]).joined(separator: ": "))
  }
}

/// Tensor files read as the one document that the server would receive.
enum InputFiles {
  /// Reads and merges files; the format is told by the bytes, not by the file's name.
  ///
  /// - Parameter tensorName: what the one tensor of an npy file is called; nil means the file's name without
  ///   directory and extension.
  /// - Throws: for what cannot be read, and for a tensor or parameter that two files hold.
  static func document(
    paths: [String], tensorName: String?, parameterNames: Set<String>
  ) throws(InputError) -> TensorDocument {
    var merged = TensorDocument()
    for path in paths {
      let hints = DecodingHints(
        parameterNames: parameterNames, tensorName: tensorName ?? stem(of: path), zipCoding: .zlib)
      let bytes = try readInput(path)
      let isNamed = path != "-" || tensorName != nil
      guard isNamed || TensorFormats.sniff(bytes.prefix(16)[...])?.name != NPYFormat.name else {
        throw InputError(
          "-: standard input has no file name to name its tensor after; use --tensor attention, for example")
      }
      let document = try decode(bytes, from: path, hints)
      for name in document.tensors.names {
        guard merged.tensors[name] == nil else {
          throw InputError("\(path): tensor '\(name)' is in an earlier file already")
        }
        merged.tensors[name] = document.tensors[name]
      }
      for member in document.parameters.members {
        guard merged.parameters[member.name] == nil else {
          throw InputError("\(path): parameter '\(member.name)' is in an earlier file already")
        }
        merged.parameters[member.name] = member.value
      }
    }
    return merged
  }

  /// `attention` for `data/attention.npy`.
  static func stem(of path: String) -> String {
    let name = path.split(separator: "/").last.map { String($0) } ?? path
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return name }
    return String(name[..<dot])
  }

  private static func decode(
    _ bytes: [UInt8], from path: String, _ hints: DecodingHints
  ) throws(InputError) -> TensorDocument {
    guard !bytes.isEmpty else { throw InputError("\(path): is empty") }
    guard let format = TensorFormats.sniff(bytes.prefix(16)[...]) else {
      let hint =
        path.hasSuffix(".pt") || path.hasSuffix(".pth") || path.hasSuffix(".pkl")
        ? "; pickled files can run code and are not read, save them with numpy.save or safetensors" : ""
      throw InputError("\(path): none of npy, npz, safetensors and JSON\(hint)")
    }
    do throws(TensorFormatError) {
      return try format.decode(bytes[...], hints)
    } catch {
      throw InputError("\(path): \(error)")
    }
  }
}
