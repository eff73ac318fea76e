import Foundation
import JSON
import Kernels
import TensorFormats
import Tensors
import TokenPruning

struct UnknownCommand: Error, CustomStringConvertible {
  let description: String
}

/// What `measure` can be asked.
struct Commands {
  private var files: [String: SafetensorsFile] = [:]
  private var bodies: [String: [UInt8]] = [:]

  mutating func answer(to words: [String]) throws -> String {
    let words = Words(words)
    switch words.first {
    case "method": return try method(words)
    case "merge": return try merge(words)
    case "json": return try json(words)
    case "foundation": return try foundation(words)
    case "base64": return try base64(words)
    case "gram":
      return try KernelTimes.gram(rows: words.integer(1), columns: words.integer(2), words.integer(3))
    case "widen": return try KernelTimes.widen(count: words.integer(1), words.integer(2))
    case "topk":
      return try KernelTimes.topK(count: words.integer(1), keep: words.integer(2), words.integer(3))
    case "topk-method":
      return try KernelTimes.topKMethod(count: words.integer(1), keep: words.integer(2), words.integer(3))
    case "localize":
      return try NetworkTimes.localize(weights: words[1], tensors: words[2], words.integer(3))
    case "resample":
      return try NetworkTimes.resample(
        weights: words[1], tensors: words[2], rows: words.integer(3), words.integer(4))
    case "levels":
      let names = KernelSet.available.map { "\"\($0.name)\"" }.joined(separator: ",")
      return "{\"available\":[\(names)],\"active\":\"\(KernelSet.active.name)\"}"
    default: throw UnknownCommand(description: "no command '\(words.first)'")
    }
  }

  private mutating func file(_ path: String) throws -> SafetensorsFile {
    if let loaded = files[path] { return loaded }
    let file = try SafetensorsFile(try body(path)[...])
    files[path] = file
    return file
  }

  /// One for each repetition, as for each request: what one may cost is an account that all that use the same input share.
  private static func input(_ file: SafetensorsFile) -> PruningInput {
    let tokens = (file.tensors["image_features"] ?? file.tensors["attention"]).map { tensor in
      file.tensors["image_features"] == nil ? tensor.shape[tensor.rank - 1] : tensor.shape[0]
    }
    return PruningInput(tokenCount: tokens ?? 0, tensors: file.tensors, layout: nil)
  }

  private mutating func body(_ path: String) throws -> [UInt8] {
    if let loaded = bodies[path] { return loaded }
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    bodies[path] = bytes
    return bytes
  }

  private func parameters(_ words: Words) throws -> JSONObject {
    ["method": .string(words[1]), "keep_tokens": .integer(try words.integer(3))]
  }

  private mutating func method(_ words: Words) throws -> String {
    let file = try file(words[2])
    let request = try PruneRequest(try parameters(words))
    var kept: [Int] = []
    let times = try seconds(words.integer(4)) { kept = try prune(Self.input(file), request).kept }
    return "{\"seconds\":\(times),\"kept\":\(kept)}"
  }

  private mutating func merge(_ words: Words) throws -> String {
    let file = try file(words[2])
    let request = try CompressRequest(try parameters(words))
    var kept: [Int] = []
    let times = try seconds(words.integer(4)) { kept = try compress(Self.input(file), request).keptIndices }
    return "{\"seconds\":\(times),\"kept\":\(kept)}"
  }

  private mutating func json(_ words: Words) throws -> String {
    let body = try body(words[1])
    var document = TensorDocument()
    let times = try seconds(words.integer(2)) {
      document = try JSONTensorFormat.decode(body[...], DecodingHints())
    }
    guard case .one(let tensor)? = document.tensors["image_features"] else {
      throw UnknownCommand(description: "\(words[1]) has no image_features")
    }
    if words.count > 3 { try Data(tensor.bytes).write(to: URL(fileURLWithPath: words[3])) }
    return "{\"seconds\":\(times),\"bytes\":\(body.count),\"elements\":\(tensor.elementCount)}"
  }

  private mutating func foundation(_ words: Words) throws -> String {
    struct Request: Decodable {
      let imageFeatures: [[Float]]

      enum CodingKeys: String, CodingKey { case imageFeatures = "image_features" }
    }
    let data = Data(try body(words[1]))
    var rows = 0
    let times = try seconds(words.integer(2)) {
      rows = try JSONDecoder().decode(Request.self, from: data).imageFeatures.count
    }
    return "{\"seconds\":\(times),\"bytes\":\(data.count),\"rows\":\(rows)}"
  }

  private mutating func base64(_ words: Words) throws -> String {
    let body = try body(words[1])
    let times = try seconds(words.integer(2)) {
      consume(try JSONTensorFormat.decode(body[...], DecodingHints()).tensors.entries.isEmpty)
    }
    return "{\"seconds\":\(times),\"bytes\":\(body.count)}"
  }
}

/// One command's words, with the complaints of a reader.
struct Words {
  private let words: [String]

  init(_ words: [String]) { self.words = words }

  var first: String { words.first ?? "" }
  var count: Int { words.count }

  subscript(index: Int) -> String { index < words.count ? words[index] : "" }

  func integer(_ index: Int) throws -> Int {
    guard let value = Int(self[index]), value > 0 else {
      throw UnknownCommand(description: "word \(index) of '\(words.joined(separator: " "))' must be a number")
    }
    return value
  }
}
