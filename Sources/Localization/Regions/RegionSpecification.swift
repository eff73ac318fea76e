public import JSON
import Parameters
public import PruningNumerics
public import VisionLayouts

/// The region that a request's `region` member gives: one object or a list of them.
///
/// Each object has exactly one of `blocks` ([x_min, y_min, x_max, y_max], inclusive, 0...7), `box` (four
/// numbers, with `box_format`, ``BoxFormat``, `normalized` by default) and `text` (what a model emitted,
/// ``RegionText``); beside `box` and `text` may stand `resized_size` [width, height]. In a layout of several
/// images each has `image`, the one it is in.
public struct RegionSpecification: Sendable, Hashable {
  /// Normalised, inside the image, in the order given; never empty.
  package let boxes: [Box]
  /// The image each box is in.
  let images: [Int]
  /// `boxes`, or `text` when every box was read from text.
  let source: LocalizationSource

  /// More boxes than any image has regions worth naming; bounds the work of a hostile list.
  static let maximumBoxCount = 64

  /// - Parameter layout: gives `image_size` to boxes in pixels and the resized size to Qwen2.5-VL's boxes.
  /// - Throws: at `/region` or below: `/region/box` for one object, `/region/1/box` in a list.
  public init(_ member: RegionMember, layout: TokenLayout?) throws(PruningError) {
    var boxes: [Box] = []
    var images: [Int] = []
    var onlyText = true
    for object in try member.objects.get() {
      let image = try object.image(in: layout)
      let found = try object.boxes(in: layout, image: image)
      boxes += found
      images += found.map { _ in image }
      onlyText = onlyText && object.isText
    }
    guard boxes.count <= Self.maximumBoxCount else {
      throw PruningError(
        at: "/region", "has \(boxes.count) boxes; at most \(Self.maximumBoxCount) are accepted")
    }
    self.boxes = boxes
    self.images = images
    self.source = onlyText ? .text : .boxes
  }
}

/// The `region` member with its texts read: that takes longest, and is the same whatever the layout.
public struct RegionMember: Sendable {
  fileprivate let objects: Result<[RegionObject], PruningError>

  /// - Complexity: O(bytes). What is wrong is told by ``RegionSpecification``.
  public init(_ json: JSONValue) {
    objects = Result { () throws(PruningError) in try Self.objects(of: json) }
  }

  private static func objects(of json: JSONValue) throws(PruningError) -> [RegionObject] {
    guard let list = json.arrayValue else {
      return [
        try object(json, at: "/region", else: "an object with one of blocks, box, text, or a list of them")
      ]
    }
    guard !list.isEmpty else { throw PruningError(at: "/region", "is an empty list; leave it out instead") }
    let most = RegionSpecification.maximumBoxCount
    guard list.count <= most else {
      throw PruningError(at: "/region", "has \(list.count) entries; at most \(most) are accepted")
    }
    if list.count == 4, list.allSatisfy({ $0.doubleValue != nil }) {
      let numbers = JSONValue.array(list)
      throw PruningError(
        at: "/region",
        "is four numbers without their unit; write {\"blocks\": \(numbers)} for cells of the 8 x 8 grid or {\"box\": \(numbers)} for a box of the image"
      )
    }
    return try list.enumerated().map { (place, value) throws(PruningError) in
      try object(value, at: "/region/\(place)", else: "an object with one of blocks, box, text")
    }
  }

  private static func object(
    _ json: JSONValue, at pointer: String, else expected: String
  ) throws(PruningError) -> RegionObject {
    guard let object = json.objectValue else {
      throw PruningError(at: pointer, "must be \(expected), not \(ParameterReading.found(json))")
    }
    return try RegionObject(ParameterReading(object, at: pointer))
  }
}

/// One object of the `region` member.
private struct RegionObject: Sendable {
  private let reading: ParameterReading
  /// The one of `kinds` that it has.
  private let kind: String
  private let format: BoxFormat?
  private let resized: ImageSize?
  /// What was found in its text.
  private let found: [RegionText.FoundBox]

  private static let kinds = ["blocks", "box", "text"]

  var isText: Bool { kind == "text" }
  private var pointer: String { reading.path(kind) }

  init(_ reading: ParameterReading) throws(PruningError) {
    self.reading = reading
    try reading.refuseUnknown(besides: Self.kinds + ["box_format", "resized_size", "image"], of: "region")
    let present = Self.kinds.filter { reading.member($0) != nil }
    guard present.count == 1 else {
      throw PruningError(
        at: reading.pointer,
        "must have exactly one of blocks, box, text; it has \(present.isEmpty ? "none" : present.joined(separator: " and "))"
      )
    }
    kind = present[0]
    format = try reading.choice("box_format", BoxFormat.self)
    resized = try reading.size("resized_size")
    if kind == "text", let text = try reading.string(kind) {
      found = try RegionText.boxes(in: text, as: format, at: reading.path(kind))
    } else {
      found = []
    }
  }

  /// - Throws: when there are several images and none is named.
  func image(in layout: TokenLayout?) throws(PruningError) -> Int {
    let count = layout?.imageCount ?? 1
    if let image = try reading.integer("image", in: 0...(count - 1)) { return image }
    guard count == 1 else {
      throw PruningError(
        at: reading.path("image"),
        "is missing: which of the layout's \(count) images the region is in, 0...\(count - 1)")
    }
    return 0
  }

  func boxes(in layout: TokenLayout?, image: Int) throws(PruningError) -> [Box] {
    switch kind {
    case "text":
      // Without a stated size, pixels of Qwen2.5-VL cannot be told from thousandths of Qwen3-VL.
      let isPixels = resized != nil
      let formats = try RegionText.formats(of: found, format, isPixels: isPixels, at: pointer)
      return try zip(found, formats).map { (box, boxFormat) throws(PruningError) -> Box in
        try Box(box.numbers, boxFormat, in: frame(layout, image, for: boxFormat), at: pointer)
      }
    case "blocks":
      try reading.refuse(
        ["box_format", "resized_size"], "has no meaning beside blocks, which are always 0...7")
      return [try Box(numbers(at: "blocks"), .blocks, in: BoxFrame(), at: pointer)]
    default:
      let boxFormat = format ?? .normalized
      return [try Box(numbers(at: "box"), boxFormat, in: frame(layout, image, for: boxFormat), at: pointer)]
    }
  }

  private func frame(
    _ layout: TokenLayout?, _ image: Int, for format: BoxFormat
  ) throws(PruningError) -> BoxFrame {
    guard resized == nil || format == .qwen25VL else {
      throw PruningError(
        at: reading.path("resized_size"),
        "only boxes in the format qwen2_5_vl need it, not in \(format.rawValue)")
    }
    let sizes = layout?.imageSizes ?? []
    return BoxFrame(
      imageSize: image < sizes.count ? sizes[image] : nil,
      resizedSize: resized ?? Self.sizeOfQwenGrid(layout, image))
  }

  /// A merged token of Qwen2-VL and Qwen2.5-VL shows 28 x 28 pixels of the resized image.
  private static func sizeOfQwenGrid(_ layout: TokenLayout?, _ image: Int) -> ImageSize? {
    guard let layout, ["grid", "qwen2_vl", "qwen2_5_vl"].contains(layout.type),
      let view = layout.views.first(where: { $0.image == image })
    else { return nil }
    return ImageSize(width: view.columns * 28, height: view.rows * 28)
  }

  private func numbers(at name: String) throws(PruningError) -> [Double] {
    guard let list = reading.object[name]?.arrayValue, list.count == 4 else {
      throw PruningError(at: reading.path(name), "must be a list of 4 numbers")
    }
    return try list.map { (value) throws(PruningError) -> Double in
      guard let number = value.doubleValue else {
        throw PruningError(
          at: reading.path(name), "must be a list of 4 numbers, but has \(ParameterReading.found(value))")
      }
      return number
    }
  }
}
