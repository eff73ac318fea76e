import JSON
import PruningService
import TensorFormats
import Tensors

extension Answer {
  /// The whole answer as the JSON that the server sends.
  ///
  /// - Throws: when a tensor has no JSON form.
  func jsonText() throws(InputError) -> String {
    String(decoding: try encoded(as: "application/json", for: "--output json"), as: UTF8.self) + "\n"
  }

  /// The bytes of a file with the answer's tensors; the extension says in which format.
  func file(named path: String) throws(InputError) -> [UInt8] {
    let mediaTypes = [
      ".safetensors": "application/x-safetensors", ".npy": "application/x-npy", ".json": "application/json",
    ]
    guard let (ending, mediaType) = mediaTypes.first(where: { path.hasSuffix($0.key) }) else {
      throw InputError("--out \(path): the name must end in .safetensors, .npy or .json")
    }
    if ending == ".npy" { return try onlyMainTensor(for: path).encoded(as: mediaType, for: "--out \(path)") }
    return try encoded(as: mediaType, for: "--out \(path)")
  }

  private func encoded(as mediaType: String, for purpose: String) throws(InputError) -> [UInt8] {
    guard let format = TensorFormats.named(mediaType: mediaType) else {
      throw InputError("\(purpose): this build does not write \(mediaType)")
    }
    // In JSON one name is one member, and the index lists stand among the members already.
    let isJSON = mediaType == "application/json"
    let tensors = isJSON ? tensors.filter { members[$0.name] == nil } : tensors
    do throws(TensorFormatError) {
      return try format.encode(tensors, response: members)
    } catch {
      throw InputError("\(purpose): \(error)")
    }
  }

  /// An npy file holds one tensor: the features if there are any, else the indices of the chosen tokens.
  private func onlyMainTensor(for path: String) throws(InputError) -> Answer {
    for name in ["features", "kept_indices", "region_indices"] {
      if let tensor = tensors.first(where: { $0.name == name }) {
        return Answer(members: members, tensors: [tensor])
      }
      if let indices = members[name]?.integers {
        do throws(TensorError) {
          let tensor = try Tensor.int64(indices, shape: Shape([indices.count]))
          return Answer(members: members, tensors: [(name, tensor)])
        } catch {
          throw InputError("--out \(path): \(error)")
        }
      }
    }
    throw InputError("--out \(path): an npy file holds one tensor; write .safetensors or .json instead")
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
