import JSON
import Localization
import TokenPruning
import VisionLayouts

extension FuzzTarget {
  /// Boxes in the text that a model emitted, read as every family of models writes them.
  static let regionText = FuzzTarget("region-text", maximumBytes: 2048) { bytes throws(BrokenLaw) in
    guard let text = String(validating: bytes, as: UTF8.self) else { return }
    var readings: [JSONObject] = [[:], ["resized_size": [280, 140]]]
    readings += ["normalized", "qwen3_vl", "paligemma", "florence2"].map { ["box_format": .string($0)] }
    for reading in readings {
      var object = reading
      object["text"] = .string(text)
      guard let boxes = try? RegionSpecification(RegionMember(.object(object)), layout: nil).boxes else {
        continue
      }
      try require((1...64).contains(boxes.count), "at least one box and not too many")
      for box in boxes {
        try require(
          [box.x0, box.y0, box.x1, box.y1].allSatisfy { (0...1).contains($0) },
          "a box lies in the image: \(box)")
        try require(box.x0 < box.x1 && box.y0 < box.y1, "a box covers something: \(box)")
      }
    }
  }
}
