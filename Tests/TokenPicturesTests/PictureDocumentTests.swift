import Testing
import TokenPictures
import VisionLayouts

@Suite("Pictures of answers")
struct PictureDocumentTests {
  private func svg(_ picture: TokenPicture, photographs: [PictureDocument.Photograph] = []) -> String {
    let figure = Figure(caption: "caption", notes: ["note"], picture: picture)
    let document = PictureDocument(
      title: "title", description: "description", figures: [figure], photographs: photographs)
    return String(decoding: document.svg(), as: UTF8.self)
  }

  /// The `d` of the paths of a class, in order.
  private func paths(_ style: String, in svg: String) -> [String] {
    svg.split(separator: "\n").filter { $0.hasPrefix("<path class=\"\(style)\"") }.compactMap { line in
      line.split(separator: "\"").last { $0.hasPrefix("M") }.map { String($0) }
    }
  }

  @Test("kept cells beside each other are one rectangle")
  func runs() {
    let picture = TokenPicture(
      grids: [.init(firstToken: 0, rows: 2, columns: 4)], marks: .kept([1, 2, 4, 7]))
    let text = svg(picture)
    #expect(paths("kept", in: text) == ["M1 0h2v1h-2zM0 1h1v1h-1zM3 1h1v1h-1z"])
    #expect(paths("cell", in: text) == ["M0 0h4v2h-4z"])
    #expect(text == svg(picture))
  }

  @Test("whatever is kept, the rectangles drawn cover exactly those cells", arguments: 0..<40)
  func coverage(seed: Int) {
    var state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1
    func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let (rows, columns) = (1 + next(7), 1 + next(9))
    let stride = columns + next(3)
    let first = next(5)
    let grid = TokenView(firstToken: first, rows: rows, columns: columns, rowStride: stride)
    let kept = (0..<(first + rows * stride)).filter { _ in next(2) == 0 }
    let data = paths("kept", in: svg(TokenPicture(grids: [grid], marks: .kept(kept)))).joined()
    var covered: Set<Int> = []
    for piece in data.split(separator: "M") {
      let numbers = piece.split { !$0.isNumber }.compactMap { Int($0) }
      #expect(numbers.count == 5 && numbers[2] == numbers[4] && numbers[3] == 1)
      for column in numbers[0]..<(numbers[0] + numbers[2]) {
        let token = first + numbers[1] * stride + column
        #expect(covered.insert(token).inserted && column < columns)
      }
    }
    let inside = kept.filter {
      $0 >= first && ($0 - first) % stride < columns && ($0 - first) / stride < rows
    }
    #expect(covered == Set(inside))
  }

  @Test("text is escaped, and characters that XML has no place for are left out")
  func escaping() {
    let picture = TokenPicture(grids: [.init(firstToken: 0, rows: 1, columns: 1)], marks: .kept([]))
    let figure = Figure(caption: "<script>\u{0}\u{1b}&\"", picture: picture)
    let document = PictureDocument(title: "a<b", description: "]]>\u{ffff}", figures: [figure])
    let text = String(decoding: document.svg(), as: UTF8.self)
    #expect(text.contains("<title>a&lt;b</title>") && text.contains("<desc>]]&gt;</desc>"))
    #expect(text.contains(">&lt;script&gt;&amp;&quot;</text>"))
  }

  @Test("on a photograph pruned cells are dimmed instead, and the photograph stands in the document once")
  func photograph() {
    let grids = [
      TokenView(firstToken: 0, rows: 1, columns: 2), TokenView(firstToken: 2, rows: 1, columns: 2),
    ]
    let picture = TokenPicture(grids: grids, marks: .kept([0, 2, 3]))
    let text = svg(picture, photographs: [.init(dataURL: "data:image/png;base64,AAAA\"")])
    #expect(paths("dim", in: text) == ["M1 0h1v1h-1z"] && paths("kept", in: text).isEmpty)
    #expect(text.split(separator: "base64,AAAA").count == 2 && text.contains("AAAA&quot;"))
    #expect(text.split(separator: "<use href=\"#photograph-0\"").count == 3)
  }

  @Test("merged tokens have the colours of their rows, borders between them, and a mark on each anchor")
  func merged() {
    let picture = TokenPicture(
      grids: [.init(firstToken: 0, rows: 2, columns: 2)],
      marks: .merged(rows: [0, 0, 1, -1], anchors: [1, 2]))
    let text = svg(picture)
    #expect(paths("group", in: text) == ["M0 0h2v1h-2z", "M0 1h1v1h-1z"])
    #expect(paths("border", in: text) == ["M0 1h1M1 1h1M1 1v1"])
    #expect(paths("anchor", in: text) == ["M1.3 0.3h.4v.4h-.4zM0.3 1.3h.4v.4h-.4z"])
  }

  @Test("a schedule shows what each stage kept, later stages stronger")
  func stages() {
    let picture = TokenPicture(
      grids: [.init(firstToken: 0, rows: 1, columns: 4)], marks: .stages([[0, 1, 2], [0, 1], [0]]))
    let text = svg(picture)
    #expect(paths("part", in: text) == ["M0 0h3v1h-3z", "M0 0h2v1h-2z"])
    #expect(paths("kept", in: text) == ["M0 0h1v1h-1z"])
    #expect(text.contains("fill-opacity=\"0.33\"") && text.contains("fill-opacity=\"0.67\""))
  }

  @Test("the map has a path for each level that occurs, and none where it is flat or not finite in range")
  func map() {
    let grids = [TokenView(firstToken: 0, rows: 2, columns: 2)]
    let heat = { (values: [Double]) in
      paths("heat", in: svg(TokenPicture(grids: grids, marks: .inside([]), maps: [values])))
    }
    #expect(heat([0, 1, 0.5, 0]) == ["M0 1h1v1h-1z", "M1 0h1v1h-1z"])
    #expect(heat([1, 1, 1, 1]).isEmpty && heat([1, 2, 3]).isEmpty && heat([]).isEmpty)
    let tiny = Double.leastNonzeroMagnitude
    #expect(
      heat([0, tiny, 0, 0]).isEmpty && heat([0, .nan, 1, 1]).count <= 8 && heat([0, .infinity, 1, 1]).isEmpty)
    #expect(heat([-.greatestFiniteMagnitude, .greatestFiniteMagnitude, 0, 0]).count == 2)
  }

  @Test("tiles of an image are one sheet, frames and images one each, and regions lie on theirs")
  func sheets() {
    let half = Box(x0: 0, y0: 0, x1: 0.5, y1: 1)
    let other = Box(x0: 0.5, y0: 0, x1: 1, y1: 1)
    let grids = [
      TokenView(firstToken: 0, rows: 2, columns: 2, role: .base),
      TokenView(firstToken: 4, rows: 2, columns: 1, rowStride: 2, box: half, role: .tile),
      TokenView(firstToken: 5, rows: 2, columns: 1, rowStride: 2, box: other, role: .tile),
      TokenView(firstToken: 8, rows: 1, columns: 1, image: 1),
    ]
    let text = svg(
      TokenPicture(
        grids: grids, aspectRatios: [2, 0.5], marks: .kept([0, 5, 8]),
        regions: [.init(image: 1, area: .unit), .init(image: 0, area: half)]))
    for label in [">image 0, base<", ">image 0, tiles<", ">image 1<"] { #expect(text.contains(label)) }
    #expect(paths("kept", in: text).count == 3)
    // The region of image 0 is drawn on its base and on its tiles.
    #expect(text.split(separator: "<rect class=\"region\"").count - 1 == 3)
    let video = (0..<300).map { TokenView(firstToken: $0, rows: 1, columns: 1, role: .frame) }
    let frames = svg(TokenPicture(grids: video, marks: .kept([])))
    #expect(frames.contains(">frame 255<") && !frames.contains(">frame 256<"))
    #expect(frames.contains(">44 more are not drawn.<"))
  }

  @Test("a picture of thousands of tokens is small, and of no tokens still a picture")
  func sizes() {
    let kept = Array(stride(from: 0, to: 9216, by: 9))
    let many = svg(TokenPicture(grids: [.init(firstToken: 0, rows: 96, columns: 96)], marks: .kept(kept)))
    #expect(many.utf8.count < 30_000)
    #expect(svg(TokenPicture(grids: [], marks: .kept([]))).contains("does not say where tokens lie"))
    let flat = svg(TokenPicture(grids: [.init(firstToken: 0, rows: 0, columns: 5)], marks: .kept([1])))
    #expect(flat.hasSuffix("</svg>\n") && !flat.contains("nan") && !flat.contains("inf"))
  }
}
