import ArgumentParser
import FoundationEssentials
import JSON
import TensorFormats
import Tensors
import Testing

@testable import PruningService
@testable import crop

@Suite("Options of the operations become parameters")
struct ParameterOptionTests {
  private func prune(_ arguments: [String]) throws -> JSONObject {
    let command = try #require(try Crop.parseAsRoot(["prune", "x.npy"] + arguments) as? Prune)
    return try command.parameters().object
  }

  @Test(
    "each option is the parameter of its name",
    arguments: [
      (["--keep-tokens", "64"], ["keep_tokens": 64]),
      (["--keep-ratio", "0.25"], ["keep_ratio": 0.25]),
      (["--prune-ratio", "0.5"], ["prune_ratio": 0.5]),
      (["--method", "divprune"], ["method": "divprune"]),
      (["--method-parameters", "{\"alpha\": 0.5}"], ["method_parameters": ["alpha": 0.5]]),
      (["--region-policy", "only"], ["region_policy": "only"]),
      (["--region", "[2,1,5,4]"], ["region": ["blocks": [2, 1, 5, 4]]]),
      (["--region", "{\"text\": \"[2,1,5,4]\"}"], ["region": ["text": "[2,1,5,4]"]]),
      (["--region", "[{\"blocks\": [0,0,1,1]}]"], ["region": [["blocks": [0, 0, 1, 1]]]]),
      (["--layout", "24x12"], ["layout": ["type": "grid", "rows": 24, "columns": 12]]),
      (["--layout", "{\"type\": \"llava\"}"], ["layout": ["type": "llava"]]),
      (["--seed", "7"], ["seed": 7]),
      (["--parameters", "{\"explain\": true}"], ["explain": true]),
      ([], [:]),
    ] as [([String], JSONObject)])
  func options(arguments: [String], expected: JSONObject) throws {
    #expect(try prune(arguments) == expected)
  }

  @Test("compress adds its mode")
  func mode() throws {
    let command = try #require(try Crop.parseAsRoot(["compress", "x.npy", "--mode", "merge"]) as? Compress)
    #expect(try command.parameters().object == ["mode": "merge"])
  }

  @Test("a flag wins over --parameters, and a budget flag over every budget there")
  func precedence() throws {
    let given = try prune([
      "--parameters", "{\"keep_ratio\": 0.5, \"seed\": 1, \"renumber\": true}", "--keep-tokens", "64",
      "--seed", "2",
    ])
    #expect(given == ["seed": 2, "renumber": true, "keep_tokens": 64])
  }

  @Test("parameters from options replace those of the file, whichever budget it names")
  func mergeWithFile() {
    var file: JSONObject = ["prune_ratio": 0.5, "method": "topk"]
    file.merge(["keep_tokens": 3])
    #expect(file == ["method": "topk", "keep_tokens": 3])
    file.merge(["method": "random"])
    #expect(file == ["method": "random", "keep_tokens": 3])
  }

  @Test(
    "an unusable option says which one and what it should be",
    arguments: [
      (["--region", "[1,2]"], "--region: expected four block coordinates, such as [2,1,5,4]"),
      (["--region", "[0.5,0,1,1]"], "--region: expected four block coordinates"),
      (["--region", "cat"], "--region: not JSON"),
      (["--layout", "24"], "--layout: '24' is neither rows x columns"),
      (["--layout", "24x-1"], "--layout: '24x-1' is neither rows x columns"),
      (["--parameters", "[1]"], "--parameters: expected a JSON object"),
      (
        ["--parameters", "{\"keep_token\": 1}"], "unknown parameter 'keep_token'; did you mean 'keep_tokens'?"
      ),
      (["--method-parameters", "{"], "--method-parameters: not JSON"),
    ])
  func unusable(arguments: [String], message: String) {
    let error = #expect(throws: InputError.self) { try prune(arguments) }
    #expect(error?.description.contains(message) == true)
  }

  @Test(
    "wrong use of the command line ends with status 64",
    arguments: [
      ["--keep-tokens", "1", "--keep-ratio", "0.5"], ["--keep-ratio", "nan"], ["--keep-tokens", "many"],
      ["--mehtod", "crop"], ["--output", "xml"],
    ])
  func usage(arguments: [String]) {
    do {
      _ = try Crop.parseAsRoot(["prune", "x.npy"] + arguments)
      Issue.record("accepted")
    } catch {
      #expect(Crop.exitCode(for: error).rawValue == 64)
    }
  }
}

@Suite("Input files and answers")
struct OperationFileTests {
  private func withDirectory(_ body: (String) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "crop-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    try body(directory.path + "/")
  }

  private func vector(_ values: [Float]) throws -> Tensor {
    try .float32(values, shape: Shape([values.count]))
  }

  private func safetensors(_ name: String, _ values: [Float]) throws -> [UInt8] {
    try SafetensorsFormat.encode([(name, vector(values))], response: [:])
  }

  @Test("a file's stem is its name without directory and last extension")
  func stems() {
    #expect(InputFiles.stem(of: "a/b/attention.npy") == "attention")
    #expect(InputFiles.stem(of: "attention") == "attention")
    #expect(InputFiles.stem(of: "x.y/.npy") == ".npy")
    #expect(InputFiles.stem(of: "layer.2.npy") == "layer.2")
  }

  @Test("several files merge into one document")
  func merge() throws {
    try withDirectory { directory in
      try writeFile(safetensors("attention", [1, 2]), to: directory + "a.safetensors")
      try writeFile(safetensors("text_features", [3]), to: directory + "b.safetensors")
      let document = try InputFiles.document(
        paths: [directory + "a.safetensors", directory + "b.safetensors"], tensorName: nil, parameterNames: []
      )
      #expect(document.tensors.names == ["attention", "text_features"])
      #expect(document.tensors["attention"] == .one(try vector([1, 2])))
    }
  }

  @Test("the tensor of an npy file is called like the file, or as told")
  func npyName() throws {
    try withDirectory { directory in
      let path = directory + "attention.npy"
      try writeFile(NPYFormat.encode([("any", vector([1, 2]))], response: [:]), to: path)
      for (told, name) in [(nil, "attention"), ("key", "key")] {
        let document = try InputFiles.document(paths: [path], tensorName: told, parameterNames: [])
        #expect(document.tensors.names == [name])
      }
    }
  }

  @Test("a JSON file brings its parameters along")
  func jsonParameters() throws {
    try withDirectory { directory in
      let path = directory + "request.json"
      try writeFile(Array(#"{"attention": [0.5, 0.25], "keep_tokens": 1}"#.utf8), to: path)
      let document = try InputFiles.document(
        paths: [path], tensorName: nil, parameterNames: Operation.parameterNames)
      #expect(document.tensors.names == ["attention"])
      #expect(document.parameters == ["keep_tokens": 1])
    }
  }

  /// An answer about one image.
  func answer(
    _ members: JSONObject, indices: [(name: String, values: [Int])] = [],
    tensors: [(name: String, tensor: Tensor)] = []
  ) -> Answer {
    let sample = Answer.Sample(
      members: members, indices: indices, tensors: tensors, tokenCount: 6, keptCount: 2)
    return Answer(samples: [sample], isBatched: false, shared: [:], reading: PreparedMembers([]))
  }

  @Test("an npy file takes the features, else the kept indices as I64")
  func npyOutput() throws {
    let features = try vector([1, 2])
    let both = answer([:], indices: [("kept_indices", [3])], tensors: [("features", features)])
    let first = try NPYFormat.decode(both.file(named: "o.npy")[...], DecodingHints(tensorName: "t"))
    #expect(first.tensors["t"] == .one(features))
    let indices = answer([:], indices: [("kept_indices", [3, 4])])
    let second = try NPYFormat.decode(indices.file(named: "o.npy")[...], DecodingHints(tensorName: "t"))
    #expect(second.tensors["t"] == .one(try .int64([3, 4], shape: Shape([2]))))
    #expect(throws: InputError.self) { try answer([:]).file(named: "o.npy") }
  }

  @Test("JSON output is one line that names every member once")
  func jsonOutput() throws {
    let answer = answer([:], indices: [("kept_indices", [0])], tensors: [("features", try vector([0.5]))])
    let text = try answer.jsonText()
    #expect(text.hasSuffix("}\n"))
    let object = try #require(try JSONValue.parse(Array(text.utf8)[...]).objectValue)
    #expect(Set(object.names) == ["kept_indices", "features"])
    #expect(object["kept_indices"] == [0])
  }

  @Test("a tensor that two files hold is refused by name")
  func duplicate() throws {
    try withDirectory { directory in
      let path = directory + "a.safetensors"
      try writeFile(safetensors("attention", [1]), to: path)
      let error = #expect(throws: InputError.self) {
        try InputFiles.document(paths: [path, path], tensorName: nil, parameterNames: [])
      }
      #expect(error?.description == "\(path): tensor 'attention' is in an earlier file already")
    }
  }

  @Test("unreadable and unknown files are named, pickles with the way out")
  func unknownFiles() throws {
    try withDirectory { directory in
      try writeFile([0x80, 2], to: directory + "x.pt")
      for (name, reason) in [("none.npy", "no such file"), ("x.pt", "save them with numpy.save")] {
        let error = #expect(throws: InputError.self) {
          try InputFiles.document(paths: [directory + name], tensorName: nil, parameterNames: [])
        }
        #expect(error?.description.hasPrefix(directory + name) == true)
        #expect(error?.description.contains(reason) == true)
      }
    }
  }

  @Test("the output file's extension decides the format")
  func outputFormat() throws {
    let answer = answer(["pruned_count": 1], tensors: [("features", try vector([1, 2]))])
    let bytes = try answer.file(named: "o.safetensors")
    let read = try SafetensorsFormat.decode(bytes[...], DecodingHints())
    #expect(read.tensors["features"] == .one(try vector([1, 2])))
    let error = #expect(throws: InputError.self) { try answer.file(named: "o.txt") }
    #expect(error?.description.contains("must end in .safetensors, .npy or .json") == true)
  }

  @Test("the summary shortens lists, names tensors and draws the kept tokens")
  func summary() throws {
    let answer = answer(
      ["long": .array((0..<20).map { .integer($0) }), "source": "attention"],
      indices: [("kept_indices", [0, 5])], tensors: [("features", try vector([1, 2]))])
    let grid = try #require(TokenGrid(layout: ["type": "grid", "rows": 2, "columns": 3], tokenCount: nil))
    #expect(
      answer.summary(grid: grid) == """
        kept_indices  [0,5]
        long          [0,1,2,3,4,5,6,7,8,9,10,11,...] (20)
        source        attention
        features      F32 [2]

        # . .
        . . #

        """)
    #expect(!answer.summary(grid: nil).contains("#"))
  }

  @Test("a grid comes from the layout or from a square count, and from nothing else")
  func grids() {
    let square = TokenGrid(layout: nil, tokenCount: 576)
    #expect(square?.rows == 24)
    #expect(square?.columns == 24)
    #expect(TokenGrid(layout: nil, tokenCount: 577) == nil)
    #expect(TokenGrid(layout: ["type": "llava"], tokenCount: 576) == nil)
    #expect(TokenGrid(layout: ["type": "grid", "rows": 1_000_000, "columns": 2], tokenCount: nil) == nil)
    #expect(TokenGrid(layout: ["type": "grid", "rows": -1, "columns": 2], tokenCount: nil) == nil)
    #expect(square?.map(of: [576]) == nil)
  }
}
