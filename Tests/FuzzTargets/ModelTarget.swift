import JSON
import LearnedNetworks
import PruningNumerics
import PruningService
import TensorFormats
import Tensors
import TokenPruning

extension FuzzTarget {
  /// Files of weights; one that loads must also run on whatever numbers it holds.
  static let model = FuzzTarget("model", maximumBytes: 4096) { bytes throws(BrokenLaw) in
    let model: LearnedModel
    do throws(ModelError) {
      model = try ModelFile.model(in: bytes)
    } catch {
      try require(!error.message.isEmpty, "an error says what is wrong")
      return
    }
    let configuration = model.configuration
    guard configuration.imageWidth <= 4096, configuration.textWidth <= 4096 else { return }
    let document = TensorDocument(
      tensors: TensorBundle([
        "image_features": .one(try ones(4, configuration.imageWidth)),
        "text_features": .one(try ones(1, max(configuration.textWidth, 1))),
      ]),
      parameters: configuration.kind == .resampler
        ? ["mode": "resampler", "keep_tokens": 2] : ["localize": ["source": "model"]])
    let operation: PruningService.Operation = configuration.kind == .resampler ? .compress : .localize
    do throws(Problem) {
      _ = try operation.run(document, models: ModelSet(["m": model]))
    } catch {
      // The numbers may be beyond what 32 bits hold; that is said, too.
      try require(error.status == 422, "what cannot be computed is the input's fault")
    }
  }

  private static func ones(_ rows: Int, _ columns: Int) throws(BrokenLaw) -> Tensor {
    let values = (0..<(rows * columns)).map { Float($0 % 7) - 3 }
    do throws(TensorError) {
      return try .float32(values, shape: Shape([rows, columns]))
    } catch {
      throw BrokenLaw("a small tensor can be made: \(error)")
    }
  }
}
