import JSON
import PruningService
import TensorFormats
import Tensors

extension FuzzTarget {
  /// npz bodies; also with a checksum of 0 for everything, which mutated content keeps.
  static let npz = FuzzTarget("npz", maximumBytes: 1024) { bytes throws(BrokenLaw) in
    let unchecked = ZipCoding(inflate: ZipCoding.zlib.inflate, crc32: { _ in 0 })
    for coding in [ZipCoding.zlib, unchecked] {
      let hints = DecodingHints(
        parameterNames: ["keep_tokens", "layout", "tensor_dtype"], zipCoding: coding,
        maximumDecodedBytes: 1 << 16)
      let needed = NPZFormat.decodingBytes(of: bytes[...], hints)
      try require(needed >= 0, "memory needed is a count of bytes")
      guard let document = try TensorLaws.decode(NPZFormat.self, bytes, hints) else { continue }
      let tensors = TensorLaws.list(document.tensors)
      for (_, tensor) in tensors { try TensorLaws.checkNumbers(tensor) }
      try require(
        Set(document.parameters.names).count == document.parameters.names.count, "no parameter is given twice"
      )
      let count = tensors.reduce(0) { $0 + $1.tensor.bytes.count }
      try require(count <= bytes.count + needed, "tensors lie in the body or in what was said to be needed")
    }
  }
}
