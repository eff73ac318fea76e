import JSON
import Tensors
import Testing

@testable import Localization
@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

/// Exponential noise of mean 1 on 24 x 24 tokens; tokens of the regions are raised by 3.
private func attention(_ regions: [BlockRegion], seed: UInt64 = 5) throws -> Tensor {
  var numbers = SeededGenerator(seed: seed)
  let values = (0..<576).map { token -> Float in
    let block = token / 24 / 3 * 8 + token % 24 / 3
    let isInside = regions.contains { $0.contains(block: block) }
    return Float(-naturalLogarithm(1 - numbers.unit()) + (isInside ? 3 : 0))
  }
  return try Tensor.float32(values, shape: Shape([576]))
}

private func run(
  _ tensors: [String: Tensor], _ options: JSONObject = [:], layout: TokenLayout? = nil, tokens: Int = 576
) throws(PruningError) -> Localization {
  try localize(
    PruningInput(tokenCount: tokens, tensors: tensors, layout: layout), LocalizationOptions(options))
}

private func error(_ body: () throws(PruningError) -> Void) -> PruningError? {
  do {
    try body()
    return nil
  } catch { return error }
}

private let planted = BlockRegion(columns: 1..<4, rows: 2..<6)

@Suite("Localization")
struct LocalizeTests {
  @Test("a planted region is found from attention, with its map and tokens")
  func localizeAttention() throws {
    let found = try run(["attention": attention([planted])])
    #expect(found.regions.count == 1)
    #expect(found.regions[0].blocks == planted)
    #expect(found.regions[0].box == planted.box)
    #expect(found.regions[0].area == 12.0 / 64)
    #expect((found.regions[0].score ?? 0) > 0)
    #expect(found.source == "attention")
    #expect(!found.wholeImage && found.reason == nil)
    #expect(found.maps.map(\.values.count) == [64])
    #expect(found.tokens.count == 12 * 9)
    #expect(try run(["attention": attention([planted])]) == found)
  }

  @Test("every objective finds a strong region")
  func localizeObjectives() throws {
    let tensor = try attention([planted])
    let contrast = try run(["attention": tensor], ["objective": "contrast"])
    #expect(contrast.regions[0].blocks == planted)
    let coverage = try run(["attention": tensor], ["objective": "coverage", "coverage": 0.8])
    let found = coverage.regions[0].blocks
    let shared = planted.rows.clamped(to: found.rows).count * planted.columns.clamped(to: found.columns).count
    #expect(Double(shared) > 0.6 * Double(planted.blockCount))
    #expect((coverage.regions[0].score ?? 0) >= 0.8)
    let all = try run(["attention": tensor], ["objective": "coverage", "coverage": 1, "baseline": "minimum"])
    #expect(all.wholeImage)
    #expect(all.tokens.count == 576)
  }

  @Test("several regions are found one after the other, and not more than there are")
  func localizeSeveral() throws {
    let second = BlockRegion(columns: 6..<8, rows: 0..<2)
    let tensor = try attention([planted, second])
    let found = try run(["attention": tensor], ["max_regions": 5])
    #expect(found.regions.map(\.blocks) == [planted, second])
    #expect(found.tokens.count == 12 * 9 + 4 * 9)
    #expect(try run(["attention": tensor]).regions.map(\.blocks) == [planted])
  }

  @Test("a flat map is the whole image, with the reason")
  func localizeFlat() throws {
    let noise = try run(["attention": attention([])])
    #expect(noise.wholeImage)
    #expect(noise.regions.map(\.blocks.isWholeImage) == [true])
    #expect(noise.tokens.count == 576)
    #expect(noise.reason?.contains("too flat") == true)
    #expect(noise.maps.count == 1)
    let constant = try Tensor.float32([Float](repeating: 0.1, count: 576), shape: Shape([576]))
    #expect(try run(["attention": constant], ["minimum_contrast": 0]).reason?.contains("constant") == true)
  }

  @Test("vicrop gives its square in pixels of the image, on the tokens' own grid")
  func localizeViCrop() throws {
    let values = (0..<576).map { token -> Float in
      let dy = Float(token / 24 - 17)
      let dx = Float(token % 24 - 8)
      return 1 + 0.001 * Float(token / 24 + 2 * (token % 24)) + 6 / (1 + dy * dy + dx * dx)
    }
    let tensor = try Tensor.float32(values, shape: Shape([576]))
    let options: JSONObject = ["objective": "vicrop", "image_size": [1024, 768]]
    let found = try run(["attention": tensor], options)
    #expect(found.regions[0].box == Box(x0: 194.0 / 1024, y0: 408.0 / 768, x1: 530.0 / 1024, y1: 744.0 / 768))
    #expect(found.regions[0].blocks.inclusive == [1, 4, 4, 7])
    let small = try run(["attention": tensor], ["objective": "vicrop", "image_size": [300, 300]])
    #expect(small.wholeImage && small.reason?.contains("no larger") == true)
    let missing = error { () throws(PruningError) in
      _ = try run(["attention": tensor], ["objective": "vicrop"])
    }
    #expect(missing?.pointer == "/localize/image_size")
  }

  @Test("the source is the best that the tensors allow, or the one named")
  func localizeSource() throws {
    let row = try attention([planted])
    let features = try Tensor.float32((0..<1152).map { Float($0 % 7) }, shape: Shape([576, 2]))
    let text = try Tensor.float32([1, 2], shape: Shape([2]))
    var tensors = ["query": text, "key": features]
    #expect(try run(tensors).source == "query_key")
    tensors["image_features"] = features
    tensors["text_features"] = text
    #expect(try run(tensors).source == "similarity")
    tensors["attention"] = row
    #expect(try run(tensors).source == "attention")
    tensors["reference_attention"] = row
    #expect(try run(tensors).source == "relative_attention")
    #expect(try run(tensors, ["source": "query_key"]).source == "query_key")
  }

  @Test("without the tensors of any source the error lists what each needs")
  func localizeWithoutTensors() throws {
    let none = error { () throws(PruningError) in _ = try run([:]) }
    #expect(none?.pointer == "/localize")
    for part in ["relative_attention: attention and reference_attention", "query and key", "no tensors"] {
      #expect(none?.message.contains(part) == true)
    }
    let named = error { () throws(PruningError) in _ = try run([:], ["source": "similarity"]) }
    #expect(named?.pointer == "image_features")
    let boxes = error { () throws(PruningError) in _ = try run([:], ["source": "boxes"]) }
    #expect(boxes?.pointer == "/localize/source")
    let row = try Tensor.float32([1, 2, 3], shape: Shape([3]))
    let shapeless = error { () throws(PruningError) in _ = try run(["attention": row], tokens: 3) }
    #expect(shapeless?.pointer == "/layout")
    #expect(shapeless?.message.contains("3 tokens") == true)
    let wrong = TokenLayout.inferred(tokenCount: 4)
    let disagrees = error { () throws(PruningError) in
      _ = try run(["attention": row], layout: wrong, tokens: 3)
    }
    #expect(disagrees?.message.contains("4 tokens") == true)
  }

  @Test("scores of any finite size are localized or refused, without overflow")
  func localizeExtremes() throws {
    for factor in [1e-36, 1e30] as [Float] {
      let scaled = try attention([planted]).floats().map { $0 * factor }
      let found = try run(["attention": Tensor.float32(scaled, shape: Shape([576]))])
      #expect(found.regions[0].blocks == planted)
      #expect(found.regions[0].score?.isFinite == true)
    }
    var bytes: [UInt8] = []
    for index in 0..<4 { withUnsafeBytes(of: index == 2 ? 1e305 : 1) { bytes += Array($0) } }
    let huge = try Tensor(elementType: .float64, shape: Shape([4]), bytes: bytes[...])
    let refused = error { () throws(PruningError) in _ = try run(["attention": huge], tokens: 4) }
    #expect(refused?.pointer == "attention")
    #expect(refused?.message.contains("element [2]") == true)
  }

  @Test("regions given by the caller have the same kind of answer")
  func localizeGiven() throws {
    let layout = try #require(TokenLayout.inferred(tokenCount: 576))
    let json: JSONValue = [["blocks": [2, 1, 5, 4]], ["box": [0, 0, 0.1, 0.1]]]
    let found = Localization(try RegionSpecification(RegionMember(json), layout: layout), layout: layout)
    #expect(found.source == "boxes")
    #expect(found.maps.isEmpty)
    #expect(found.regions.map(\.blocks.inclusive) == [[2, 1, 5, 4], [0, 0, 0, 0]])
    #expect(found.regions.map(\.score) == [nil, nil])
    #expect(found.tokens.count == 16 * 9 + 9)
    let text = Localization(
      try RegionSpecification(RegionMember(["text": "[0,0,7,7]"]), layout: layout), layout: layout)
    #expect(text.source == "text")
    #expect(text.wholeImage && text.reason != nil)
  }

  @Test("options are read, and have defaults")
  func options() throws {
    let none = try LocalizationOptions(nil)
    #expect(none.objective == .rectangle(.separation))
    #expect(none.maximumRegions == 1)
    #expect(none.source == nil)
    let all = try LocalizationOptions([
      "source": "similarity", "objective": "coverage", "coverage": 0.7, "baseline": "minimum",
      "max_regions": 3,
      "minimum_contrast": 2, "minimum_overlap": 0.5, "similarity_sign": "negative", "temperature": 0.1,
    ])
    #expect(all.objective == .rectangle(.coverage(share: 0.7, .minimum)))
    let crop = try LocalizationOptions(["objective": "vicrop", "image_size": [3, 4], "base": 224])
    #expect(crop.objective == .vicrop(base: 224) && crop.imageSize == ImageSize(width: 3, height: 4))
    #expect(all.sign == .negative && all.temperature == 0.1)
  }

  @Test(
    "options that are wrong say where",
    arguments: [
      (["objectiv": 1], "/localize/objectiv", "did you mean 'objective'?"),
      (["objective": "contrasts"], "/localize/objective", "did you mean 'contrast'?"),
      (["objective": 3], "/localize/objective", "separation"),
      (["source": "atention"], "/localize/source", "did you mean 'attention'?"),
      (["coverage": 1.5], "/localize/coverage", "not 1.5"),
      (["coverage": .number(.nan)], "/localize/coverage", "must lie in"),
      (["coverage": "0.5"], "/localize/coverage", "must be a number"),
      (["max_regions": 0], "/localize/max_regions", "1...16"),
      (["temperature": 0], "/localize/temperature", "must lie in"),
      (["image_size": [1, 2, 3]], "/localize/image_size", "[width, height]"),
      (["base": 1e9], "/localize/base", "must lie in"),
      (["coverage": 0.5], "/localize/coverage", "only applies to objective 'coverage', not 'separation'"),
      (["objective": "vicrop", "baseline": "mean"], "/localize/baseline", "only applies to"),
      (["objective": "coverage", "area_power": 0.5], "/localize/area_power", "only applies to"),
      (["objective": "contrast", "base": 224], "/localize/base", "only applies to"),
      (["image_size": [3, 4]], "/localize/image_size", "only applies to"),
      (["objective": "vicrop", "max_regions": 2], "/localize/max_regions", "must be 1"),
      (["source": "attention", "temperature": 1], "/localize/temperature", "source 'similarity'"),
      (
        ["source": "query_key", "similarity_sign": "positive"], "/localize/similarity_sign", "not 'query_key'"
      ),
    ] as [(JSONObject, String, String)])
  func wrongOptions(json: JSONObject, pointer: String, part: String) {
    let error = error { () throws(PruningError) in _ = try LocalizationOptions(json) }
    #expect(error?.pointer == pointer)
    #expect(error?.message.contains(part) == true, "\(error?.message ?? "no error")")
  }
}
