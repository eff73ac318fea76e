import Testing

@testable import Kernels

/// The choice of the highest scores, at every level of the processor, against a full sort.
@Suite("Selection") struct SelectionTests {
  private struct Numbers {
    var state: UInt64

    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 11
    }
  }

  /// Chooses by a kernel set and by the reference, from bytes that are not aligned.
  private func compare<Key: FixedWidthInteger & SignedInteger>(
    _ name: String, _ exponent: Key, _ values: [Key], _ kept: Int,
    _ choice: KeyPath<SelectionKernelSet, SelectionKernelSet.Choice<Key>>
  ) {
    var results: [(Bool, [Int32])] = []
    for set in [KernelSet.reference] + KernelSet.available where ["reference", name].contains(set.name) {
      var keys = [Key](repeating: 77, count: values.count + 1)
      var flags = [UInt8](repeating: 77, count: (values.count + 63) / 64 * 64 + 1)
      var indices = [Int32](repeating: -1, count: kept + 1)
      let bytes = [UInt8(0)] + values.withUnsafeBytes { Array($0) }
      let isFinite = bytes.withUnsafeBytes { bytes in
        keys.withUnsafeMutableBufferPointer { keys in
          flags.withUnsafeMutableBufferPointer { flags in
            indices.withUnsafeMutableBufferPointer { indices -> Bool in
              guard let bytes = bytes.baseAddress, let keys = keys.baseAddress, let flags = flags.baseAddress,
                let indices = indices.baseAddress
              else { return false }
              return set.selection[keyPath: choice](
                bytes + 1, values.count, exponent, kept, keys, flags, indices)
            }
          }
        }
      }
      // Nothing is written behind the room that is asked for.
      #expect(keys.last == 77 && flags.last == 77 && indices.last == -1)
      results.append((isFinite, isFinite ? indices.dropLast() : []))
    }
    #expect(results.count == 2 && results[0] == results[1], "\(name) \(Key.self) \(values.count) \(kept)")
  }

  private func compareAll<Key: FixedWidthInteger & SignedInteger>(
    _ name: String, _ exponent: Key, _ choice: KeyPath<SelectionKernelSet, SelectionKernelSet.Choice<Key>>
  ) {
    var numbers = Numbers(state: 5)
    let largest = exponent - 1
    let special: [Key] = [0, .min, 1, .min | 1, largest, .min | largest, 1 << Key(Key.bitWidth - 5)]
    for count in [1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 576, 1000, 20_000] {
      for kind in 0..<4 {
        let values = (0..<count).map { _ -> Key in
          let number = numbers.next()
          switch kind {
          case 0: return special[Int(number % UInt64(special.count))]
          case 1: return Key(truncatingIfNeeded: number) & .max % exponent
          case 2: return Key(truncatingIfNeeded: number % 3)
          default:
            let key = Key(truncatingIfNeeded: number)
            return key & exponent == exponent ? key ^ exponent : key
          }
        }
        for kept in Set([0, 1, count / 9, count / 2, count - 1, count]) {
          compare(name, exponent, values, kept, choice)
        }
      }
    }
    for bits in [exponent, exponent | 1, exponent | .min, .max, -1] {
      for slot in [0, 40, 99] {
        var values = [Key](repeating: 1, count: 100)
        values[slot] = bits
        compare(name, exponent, values, 10, choice)
      }
    }
  }

  @Test(
    "every level keeps what a full sort keeps, and refuses what is not finite",
    arguments: KernelSet.available.map(\.name))
  func levels(name: String) {
    compareAll(name, Int16(0x7c00), \.highest16)
    compareAll(name, Int16(0x7f80), \.highest16)
    compareAll(name, Int32(0x7f80_0000), \.highest32)
    compareAll(name, Int64(0x7ff0_0000_0000_0000), \.highest64)
  }
}
