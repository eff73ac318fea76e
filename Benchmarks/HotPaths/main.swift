// Runs one hot path a given number of times and ends: tools/guards.py counts its instructions.
//
//   hot-paths NAME REPEATS     instructions per repetition are the difference of two runs, divided
//   hot-paths list             the names
//   hot-paths level            the kernel set in use here
import Kernels

let arguments = CommandLine.arguments
switch arguments.count > 1 ? arguments[1] : "list" {
case "list": print(HotPath.all.map(\.name).joined(separator: "\n"))
case "level": print(KernelSet.active.name)
case let name:
  guard let path = HotPath.all.first(where: { $0.name == name }), arguments.count == 3,
    let repeats = Int(arguments[2])
  else {
    print("usage: hot-paths NAME REPEATS | list | level")
    break
  }
  let work = try path.prepare()
  for _ in 0..<repeats { try work() }
}
