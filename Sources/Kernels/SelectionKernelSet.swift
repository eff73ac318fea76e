/// The choice of the highest scores of a row of numbers, by their width: F16 and BF16, F32, F64.
public struct SelectionKernelSet: Sendable {
  /// Writes the indices of the `kept` highest of `count` numbers, ascending; of equal ones the lower index stays, and
  /// both zeros are equal.
  ///
  /// Returns false, and writes no index, when a number is not finite: when the bits of `exponent` are all set in it.
  /// Numbers are little-endian and at any alignment. `keys` has room for `count`, `flags` for so many rounded up to a
  /// multiple of 64, `indices` for `kept`, which is at most `count`.
  public typealias Choice<Key> =
    @Sendable (
      _ numbers: UnsafeRawPointer, _ count: Int, _ exponent: Key, _ kept: Int,
      _ keys: UnsafeMutablePointer<Key>, _ flags: UnsafeMutablePointer<UInt8>,
      _ indices: UnsafeMutablePointer<Int32>
    ) -> Bool

  public let highest16: Choice<Int16>
  public let highest32: Choice<Int32>
  public let highest64: Choice<Int64>
}

extension SelectionKernelSet {
  /// By a full sort.
  static let reference = SelectionKernelSet(
    highest16: { source, count, exponent, kept, _, _, indices in
      sorted(source, count, exponent, kept, indices)
    },
    highest32: { source, count, exponent, kept, _, _, indices in
      sorted(source, count, exponent, kept, indices)
    },
    highest64: { source, count, exponent, kept, _, _, indices in
      sorted(source, count, exponent, kept, indices)
    })

  private static func sorted<Key: FixedWidthInteger & SignedInteger>(
    _ source: UnsafeRawPointer, _ count: Int, _ exponent: Key, _ kept: Int,
    _ indices: UnsafeMutablePointer<Int32>
  ) -> Bool {
    let keys = (0..<count).map { index -> Key in
      let bits = source.loadUnaligned(fromByteOffset: index * MemoryLayout<Key>.size, as: Key.self)
      return bits < 0 ? -(bits & .max) : bits
    }
    guard keys.allSatisfy({ abs($0) < exponent }) else { return false }
    let order = (0..<count).sorted { a, b in keys[a] != keys[b] ? keys[a] > keys[b] : a < b }
    for (slot, index) in order.prefix(kept).sorted().enumerated() { indices[slot] = Int32(index) }
    return true
  }
}
