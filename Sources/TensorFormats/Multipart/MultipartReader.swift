/// Takes a form apart (RFC 2046 section 5.1.1, RFC 7578), part by part.
///
/// What stands before the first boundary and after the last is passed over; a line that begins with the boundary and goes
/// on otherwise is an error, not content.
struct MultipartReader {
  private let body: ArraySlice<UInt8>
  private let search: DelimiterSearch
  /// Behind the delimiter that was read last.
  private var place: Int
  private var partCount = 0
  private var isClosed = false

  /// - Parameter boundary: the parameter of that name in Content-Type.
  init(_ body: ArraySlice<UInt8>, boundary: String?) throws(TensorFormatError) {
    guard let boundary else {
      throw TensorFormatError(
        .malformed,
        "Content-Type names no boundary; let the client set this field (curl -F and requests' files= do), or write "
          + "multipart/form-data; boundary=TEXT")
    }
    let bytes = Array(boundary.utf8)
    guard (1...70).contains(bytes.count), bytes.allSatisfy({ (0x20...0x7e).contains($0) }), bytes.last != 0x20
    else {
      throw TensorFormatError(
        .malformed, "a boundary has 1 to 70 visible ASCII characters (RFC 2046 section 5.1.1)")
    }
    self.body = body
    search = DelimiterSearch(Array("\r\n--".utf8) + bytes)
    let length = search.pattern.count
    if body.starts(with: search.pattern[2...]) {
      place = body.startIndex + length - 2
    } else if let first = search.first(in: body, from: body.startIndex) {
      place = first + length
    } else {
      throw TensorFormatError(
        .malformed, byteOffset: 0, "no line of the body is the boundary that Content-Type names")
    }
  }

  /// - Returns: nil behind the last part.
  mutating func next() throws(TensorFormatError) -> MultipartPart? {
    guard !isClosed else { return nil }
    let rest = body[place...]
    if rest.starts(with: "--".utf8) {
      isClosed = true
      return nil
    }
    let line = rest.drop { $0 == 0x20 || $0 == 0x09 }
    guard line.starts(with: "\r\n".utf8) else {
      throw malformed(
        line.startIndex,
        line.isEmpty
          ? "the body ends after a boundary, before the closing one"
          : "a boundary is a line of its own and ends with CR LF")
    }
    partCount += 1
    guard partCount <= TensorLists.maximumNames else {
      throw TensorFormatError(.invalidContent, "a form of more than \(TensorLists.maximumNames) parts")
    }
    // The line end of the boundary may be the empty line of a part without a header.
    let start = line.startIndex + 2
    guard let headerEnd = emptyLine(from: line.startIndex) else {
      throw malformed(
        start, "an empty line ends a part's header within \(MultipartPart.maximumHeaderBytes) bytes")
    }
    // The empty line of a part without content may be the line end before the next boundary.
    guard let end = search.first(in: body, from: headerEnd + 2) else {
      throw malformed(
        body.endIndex, "the body ends within a part; the last boundary is followed by two hyphens")
    }
    place = end + search.pattern.count
    let contentStart = headerEnd + 4
    return try MultipartPart(
      header: body[min(start, headerEnd + 2)..<(headerEnd + 2)],
      content: end < contentStart ? body[end..<end] : body[contentStart..<end],
      offset: start - body.startIndex)
  }

  /// Where the first CR LF CR LF begins.
  private func emptyLine(from start: Int) -> Int? {
    let end = min(body.endIndex, start + MultipartPart.maximumHeaderBytes)
    var index = start
    while index + 4 <= end {
      if body[index..<(index + 4)].elementsEqual([0x0d, 0x0a, 0x0d, 0x0a]) { return index }
      index += 1
    }
    return nil
  }

  private func malformed(_ index: Int, _ message: String) -> TensorFormatError {
    TensorFormatError(.malformed, byteOffset: index - body.startIndex, message)
  }
}
