import ArgumentParser
import FoundationEssentials
import Testing

@testable import crop

@Suite("Pictures from the command line")
struct PictureCommandTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "crop-\(UUID().uuidString)")

  private func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let url = folder.appending(path: name)
    try Data(bytes).write(to: url)
    return url.path
  }

  private static let request = """
    {"method": "topk", "keep_tokens": 2, "attention": [0, 3, 1, 2],
     "layout": {"type": "grid", "rows": 2, "columns": 2}}
    """

  @Test("--svg draws the answer, --image what it lies on")
  func picture() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let input = try file("request.json", Array(Self.request.utf8))
    let photo = try file("photo.png", [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1])
    let output = folder.appending(path: "kept.svg")
    let arguments = ["prune", input, "--svg", output.path]
    var plain = try Crop.parseAsRoot(arguments + ["--format", "json"])
    try plain.run()
    let drawn = String(decoding: try Data(contentsOf: output), as: UTF8.self)
    #expect(drawn.contains("<title>crop: topk, 2 of 4 tokens (50.0 %)</title>"))
    #expect(drawn.contains("d=\"M1 0h1v1h-1zM1 1h1v1h-1z\""))
    var onPhoto = try Crop.parseAsRoot(arguments + ["--image", photo])
    try onPhoto.run()
    let over = String(decoding: try Data(contentsOf: output), as: UTF8.self)
    #expect(over.contains("href=\"data:image/png;base64,iVBORw0KGgoB\""))
    #expect(over.contains("class=\"dim\"") && !over.contains("class=\"kept\""))
  }

  @Test("a photograph that is none is refused by name, and one without a picture to draw is, too")
  func refusals() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let text = try file("photo.txt", Array("no picture".utf8))
    let error = #expect(throws: InputError.self) { try photograph(text) }
    #expect(error?.description.hasSuffix("is neither JPEG, PNG, WebP nor GIF") == true)
    let missing = #expect(throws: InputError.self) { try photograph(text + "x") }
    #expect(missing?.description.contains("cannot be read") == true)
    #expect(throws: (any Error).self) { try Crop.parseAsRoot(["prune", "x.npy", "--image", "a.jpg"]) }
  }
}
