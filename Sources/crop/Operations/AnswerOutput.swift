import JSON
import PruningService
import TensorFormats

extension Answer {
  /// The whole answer as the JSON that the server sends.
  ///
  /// - Throws: when a tensor has no JSON form.
  func jsonText() throws(InputError) -> String {
    String(decoding: try encoded(as: JSONTensorFormat.self, for: "--format json"), as: UTF8.self) + "\n"
  }

  /// The bytes of a file with the answer's tensors; the extension says in which format.
  ///
  /// An npy file holds one tensor: the features if there are any, else the indices of the chosen tokens.
  func file(named path: String) throws(InputError) -> [UInt8] {
    let formats: [(ending: String, format: any AnswerFormat.Type)] = [
      (".safetensors", SafetensorsFormat.self), (".npy", NPYFormat.self), (".json", JSONTensorFormat.self),
    ]
    guard let (_, format) = formats.first(where: { path.hasSuffix($0.ending) }) else {
      throw InputError("--out \(path): the name must end in .safetensors, .npy or .json")
    }
    return try encoded(as: format, for: "--out \(path)")
  }

  private func encoded(as format: any AnswerFormat.Type, for purpose: String) throws(InputError) -> [UInt8] {
    do throws(Problem) {
      return try encoded(as: format)
    } catch {
      throw InputError("\(purpose): \(error.detail)")
    }
  }
}

extension JSONValue {
  /// The elements of an array of whole numbers, else nil.
  var integers: [Int]? {
    guard let array = arrayValue else { return nil }
    var integers: [Int] = []
    for element in array {
      guard let integer = element.integerValue else { return nil }
      integers.append(integer)
    }
    return integers
  }
}
