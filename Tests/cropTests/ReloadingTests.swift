import Glibc
import Locking
import Logging
import Testing

@testable import crop

@Suite("Reloading on SIGHUP")
struct ReloadingTests {
  private struct Broken: Error, CustomStringConvertible {
    var description: String { "the key does not fit" }
  }

  /// The log lines of one reload.
  private func lines(of entries: [Reloadable]) -> [Substring] {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    let sink = LogSink(descriptor: ends[1]) { Array("\($0) lost\n".utf8) }
    let logger = Logger(label: "test") { _ in LineLogHandler(format: .text, logLevel: .info, sink: sink) }
    Reloading(entries: entries, logger: logger).run()
    sink.flush()
    close(ends[1])
    var text: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(ends[0], &part, part.count)
      guard count > 0 else { break }
      text += part.prefix(count)
    }
    close(ends[0])
    return String(decoding: text, as: UTF8.self).split(separator: "\n")
  }

  @Test("everything is read again in order, also after a failure, and each outcome is logged")
  func order() throws {
    let calls = Locked<[String]>([])
    let lines = lines(of: [
      Reloadable(name: "keys") {
        calls.withLock { $0.append("keys") }
        throw Broken()
      },
      Reloadable(name: "certificate") {
        calls.withLock { $0.append("certificate") }
        return "until tomorrow"
      },
    ])
    #expect(calls.withLock { $0 } == ["keys", "certificate"])
    try #require(lines.count == 2)
    #expect(lines[0].contains("error not reloaded: the previous version stays in use"))
    #expect(lines[0].contains("what=keys") && lines[0].contains("the key does not fit"))
    #expect(lines[1].contains("notice reloaded now=\"until tomorrow\" what=certificate"))
  }

  @Test("with nothing to reload the log says so")
  func nothing() {
    let lines = lines(of: [])
    #expect(lines.count == 1 && lines.first?.contains("SIGHUP: nothing to reload") == true)
  }
}
