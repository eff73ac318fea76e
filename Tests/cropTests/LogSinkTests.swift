import FoundationEssentials
import Glibc
import JSON
import Logging
import Testing

@testable import crop

@Suite("The log")
struct LogSinkTests {
  private static func loss(_ lines: Int) -> [UInt8] { Array("lost \(lines)\n".utf8) }

  @Test("lines that could not be written are counted, and said by the first line that can be")
  func loss() throws {
    signal(SIGPIPE, SIG_IGN)
    let path = FileManager.default.temporaryDirectory.appending(path: "crop-log-\(UUID().uuidString)").path
    try #require(mkfifo(path, 0o600) == 0)
    defer { unlink(path) }
    let first = open(path, O_RDONLY | O_NONBLOCK)
    let writer = open(path, O_WRONLY | O_NONBLOCK)
    try #require(first >= 0 && writer >= 0)
    defer { close(writer) }
    let sink = LogSink(descriptor: writer, loss: Self.loss)
    sink.write(Array("before\n".utf8))
    sink.flush()
    #expect(sink.droppedLineCount == 0)
    #expect(read(first) == "before\n")
    close(first)
    sink.write(Array("nobody reads\n".utf8))
    sink.write(Array("this\n".utf8))
    sink.flush()
    #expect(sink.droppedLineCount == 2)
    let second = open(path, O_RDONLY | O_NONBLOCK)
    defer { close(second) }
    sink.write(Array("after\n".utf8))
    sink.flush()
    #expect(read(second) == "after\nlost 2\n")
  }

  @Test("a line that was cut off does not run into the next one")
  func tear() throws {
    signal(SIGPIPE, SIG_IGN)
    let path = FileManager.default.temporaryDirectory.appending(path: "crop-log-\(UUID().uuidString)").path
    try #require(mkfifo(path, 0o600) == 0)
    defer { unlink(path) }
    let first = open(path, O_RDONLY | O_NONBLOCK)
    let writer = open(path, O_WRONLY)
    try #require(first >= 0 && writer >= 0)
    defer { close(writer) }
    let sink = LogSink(descriptor: writer, loss: Self.loss)
    // More than a pipe holds, so that the writer is in the middle of it when the reader goes.
    sink.write([UInt8](repeating: UInt8(ascii: "x"), count: 300_000) + Array("\n".utf8), isUrgent: true)
    var part = [UInt8](repeating: 0, count: 16)
    while systemRead(first, &part) <= 0 { usleep(1_000) }
    close(first)
    sink.flush()
    #expect(sink.droppedLineCount == 1)
    let second = open(path, O_RDONLY | O_NONBLOCK)
    defer { close(second) }
    sink.write(Array("after\n".utf8))
    // A reader that opens the pipe while bytes are left in it gets those first, and only then is there room again.
    var text = ""
    while !text.hasSuffix("lost 1\n") { text += read(second) }
    #expect(text.drop { $0 == "x" } == "\nafter\nlost 1\n")
  }

  @Test("a pipe that does not block is waited for")
  func nonBlocking() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { ends.forEach { close($0) } }
    _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    let sink = LogSink(descriptor: ends[1], loss: Self.loss)
    let line = String(repeating: "y", count: 199_999) + "\n"
    sink.write(Array(line.utf8), isUrgent: true)
    var text = ""
    while text.utf8.count < line.utf8.count { text += read(ends[0]) }
    #expect(text == line && sink.droppedLineCount == 0)
  }

  @Test("numbers and truth values are such in JSON")
  func values() throws {
    let line = LineLogHandler.line(
      .json, .warning, "lost",
      [
        "lines": .stringConvertible(3), "share": .stringConvertible(0.5), "all": .stringConvertible(false),
        "why": "3",
      ])
    let members = try #require(try JSONValue.parse(line[...]).objectValue)
    #expect(members["lines"] == 3 && members["share"] == .number(0.5) && members["all"] == .bool(false))
    #expect(members["why"] == "3" && members["level"] == "warning" && members["message"] == "lost")
  }

  /// What is there now.
  private func read(_ descriptor: Int32) -> String {
    var text: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = systemRead(descriptor, &part)
      guard count > 0 else { return String(decoding: text, as: UTF8.self) }
      text += part.prefix(count)
    }
  }
}

private func systemRead(_ descriptor: Int32, _ part: inout [UInt8]) -> Int {
  read(descriptor, &part, part.count)
}
