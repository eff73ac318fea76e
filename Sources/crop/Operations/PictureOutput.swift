import ArgumentParser
import FoundationEssentials
import PruningService
import TokenPictures

/// What a picture is drawn on.
struct PhotographOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Draw on this photograph (JPEG, PNG, WebP or GIF); repeat it for each image of a layout, in order.",
      valueName: "file"))
  var image: [String] = []

  /// - Throws: for what cannot be read, is too large or is no picture.
  func read() throws(InputError) -> [PictureDocument.Photograph] {
    try image.map { (path) throws(InputError) in try photograph(path) }
  }
}

/// Where a picture of the answer goes, and what it is drawn on.
struct PictureOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Draw the result as an SVG file: grid, score map, region, kept or merged tokens. - is standard output, which "
        + "then has nothing else.",
      valueName: "file"))
  var svg: String?

  @OptionGroup var photographs: PhotographOptions

  func validate() throws {
    guard photographs.image.isEmpty || svg != nil else {
      throw ValidationError("--image is for the picture: give its file with --svg FILE.")
    }
  }

  /// Writes the picture where it is asked for.
  ///
  /// - Returns: whether it went to standard output.
  func write(_ picture: ([PictureDocument.Photograph]) -> [UInt8]) throws(InputError) -> Bool {
    guard let svg else { return false }
    let bytes = picture(try photographs.read())
    guard svg != "-" else {
      StandardStreams.writeOutput(bytes)
      return true
    }
    try writeFile(bytes, to: svg)
    return false
  }
}

/// A file of --image as a part of the picture, so that the picture is one file.
func photograph(_ path: String) throws(InputError) -> PictureDocument.Photograph {
  let limit = 32 << 20
  let bytes = try readInput(path, named: "--image \(path)", upTo: limit)
  guard bytes.count <= limit else { throw InputError("--image \(path): is larger than \(limit >> 20) MiB") }
  guard let type = pictureType(of: bytes) else {
    throw InputError("--image \(path): is neither JPEG, PNG, WebP nor GIF")
  }
  return PictureDocument.Photograph(dataURL: "data:\(type);base64,\(Data(bytes).base64EncodedString())")
}

/// By the bytes that each format begins with.
private func pictureType(of bytes: [UInt8]) -> String? {
  if bytes.starts(with: [0xff, 0xd8, 0xff]) { return "image/jpeg" }
  if bytes.starts(with: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) { return "image/png" }
  if bytes.starts(with: "GIF8".utf8) { return "image/gif" }
  if bytes.starts(with: "RIFF".utf8), bytes.dropFirst(8).starts(with: "WEBP".utf8) { return "image/webp" }
  return nil
}
