import Kernels

/// The inner product of two rows of equal length.
public func innerProduct(_ a: [Double], _ b: [Double]) -> Double {
  precondition(a.count == b.count)
  return a.withUnsafeBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      guard let first = a.baseAddress, let second = b.baseAddress else { return 0 }
      return wideDot(first, second, a.count)
    }
  }
}
