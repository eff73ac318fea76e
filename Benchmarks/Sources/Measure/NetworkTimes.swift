import Foundation
import JSON
import LearnedNetworks
import Localization
import PruningNumerics
import TensorFormats
import Tensors
import TokenPruning
import VisionLayouts

/// Learned networks, from the tensors of a request to what it is answered.
enum NetworkTimes {
  /// Scores of the 8 x 8 blocks.
  static func localize(weights: String, tensors: String, _ repeats: Int) throws -> String {
    let (input, models) = try request(weights, tensors)
    let options = try LocalizationOptions(["source": "model"])
    var map: [Double] = []
    let times = try seconds(repeats) {
      map = try TokenPruning.localize(input(), options, models).maps[0].values
    }
    return "{\"seconds\":\(times),\"values\":\(map)}"
  }

  /// `rows` learned rows of the whole image.
  static func resample(weights: String, tensors: String, rows: Int, _ repeats: Int) throws -> String {
    let (input, models) = try request(weights, tensors)
    let request = try ResampleRequest(["keep_tokens": .integer(rows), "anchor_share": 0])
    var values: [Float] = []
    let times = try seconds(repeats) {
      values = try TokenPruning.resample(input(), request, models).features.values
    }
    return "{\"seconds\":\(times),\"values\":\(values)}"
  }

  /// Makes a new input for each call: one has the account of one request.
  private static func request(
    _ weights: String, _ tensors: String
  ) throws -> (input: () -> PruningInput, models: ModelSet) {
    let model = try file(weights)
    guard let text = model.metadata["crop.config"],
      let configuration = try JSONValue.parse(Array(text.utf8)[...]).objectValue
    else { throw UnknownCommand(description: "\(weights) has no crop.config") }
    let request = try file(tensors)
    guard let count = request.tensors["image_features"]?.shape[0] else {
      throw UnknownCommand(description: "\(tensors) has no image_features")
    }
    let models = ModelSet(["model": try LearnedModel(configuration: configuration, tensors: model.tensors)])
    let input = {
      PruningInput(
        tokenCount: count, tensors: request.tensors, layout: TokenLayout.inferred(tokenCount: count))
    }
    return (input, models)
  }

  private static func file(_ path: String) throws -> SafetensorsFile {
    try SafetensorsFile(Array(try Data(contentsOf: URL(fileURLWithPath: path)))[...])
  }
}
