// Times functions of the package on demand, for whoever interleaves them with other libraries.
//
// Reads one command a line, answers with one JSON object a line:
//
//   method NAME FILE KEEP REPEATS     choose KEEP tokens of the tensors in a safetensors file
//   merge NAME FILE KEEP REPEATS      the same, merging
//   json FILE REPEATS [OUT]           read a JSON matrix; OUT gets its numbers as float32
//   foundation FILE REPEATS           the same by Foundation's JSONDecoder
//   base64 FILE REPEATS               read a JSON tensor in base64
//   gram ROWS COLUMNS REPEATS         all cosines between rows
//   widen COUNT REPEATS               half precision to single
//   topk COUNT KEEP REPEATS           the KEEP highest of COUNT scores
//   topk-method COUNT KEEP REPEATS    the same as a request's method does it, from a tensor
//   localize WEIGHTS FILE REPEATS     a localizer on the tensors of a file
//   resample WEIGHTS FILE ROWS REPEATS  a resampler
//   levels                            the kernel sets this processor has, and the one in use
//
// Seconds are one number per repetition. Kernels: CROP_CPU_LEVEL chooses the set, as it does for the service.
import Foundation
import Kernels

if let level = ProcessInfo.processInfo.environment["CROP_CPU_LEVEL"], !KernelSet.choose(level) {
  answer("{\"error\":\(quoted("this processor has no level \(level)"))}")
}
var commands = Commands()
while let line = readLine() {
  let words = line.split(separator: " ").map(String.init)
  if words.isEmpty { continue }
  do {
    answer(try commands.answer(to: words))
  } catch {
    answer("{\"error\":\(quoted("\(error)"))}")
  }
}

/// One line, at once: whoever asked waits for it.
func answer(_ text: String) { FileHandle.standardOutput.write(Data("\(text)\n".utf8)) }

func quoted(_ text: String) -> String {
  "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: " ") + "\""
}
