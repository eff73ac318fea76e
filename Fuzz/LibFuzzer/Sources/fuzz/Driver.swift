import Comparisons
import FuzzTargets
import Glibc

/// The target named by FUZZ_TARGET. libFuzzer starts itself again for some of its work, and the environment stays.
private let target: FuzzTarget = {
  let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
  guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
    let names = FuzzTarget.all.map(\.name).joined(separator: " ")
    print("FUZZ_TARGET must be one of: \(names)")
    exit(2)
  }
  noteComparisons(target.readsText)
  return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  do {
    try target.run([UInt8](UnsafeBufferPointer(start: data, count: size)))
  } catch {
    // Unlike standard output this is not lost when the process ends.
    let line = "broken law: \(error)\n"
    write(STDERR_FILENO, line, line.utf8.count)
    abort()
  }
  return 0
}
