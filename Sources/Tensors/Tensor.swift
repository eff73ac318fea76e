/// A row-major, little-endian array of numbers that views a slice of a byte buffer.
///
/// A tensor decoded from a request shares the request's body: making one copies no element. `bytes` need not
/// be aligned; the accessors in `Tensor+Numbers.swift` are the only place where bytes become numbers.
public struct Tensor: Sendable, Equatable {
  public let elementType: ElementType
  public let shape: Shape
  public let bytes: ArraySlice<UInt8>

  /// - Throws: `.byteCountMismatch`, `.byteCountOverflow` when `bytes` is not exactly shape x element width.
  public init(elementType: ElementType, shape: Shape, bytes: ArraySlice<UInt8>) throws(TensorError) {
    let (expected, overflow) = shape.elementCount.multipliedReportingOverflow(by: elementType.byteWidth)
    guard !overflow else { throw .byteCountOverflow(elements: shape.elementCount) }
    guard bytes.count == expected else {
      throw .byteCountMismatch(
        shape: shape.dimensions, elementType: elementType, expected: expected, actual: bytes.count)
    }
    self.elementType = elementType
    self.shape = shape
    self.bytes = bytes
  }

  private init(trusted elementType: ElementType, _ shape: Shape, _ bytes: ArraySlice<UInt8>) {
    self.elementType = elementType
    self.shape = shape
    self.bytes = bytes
  }

  public var elementCount: Int { shape.elementCount }
  public var rank: Int { shape.rank }

  /// The sub-tensor at `index` of the first axis, sharing the same bytes. Shape `[a, b, c]` gives `[b, c]`.
  ///
  /// - Precondition: rank >= 1 and `index` lies in the first axis.
  public subscript(index: Int) -> Tensor {
    precondition(rank >= 1 && index >= 0 && index < shape[0], "index outside the first axis")
    let inner = Shape(partOfChecked: Array(shape.dimensions.dropFirst()))
    let stride = inner.elementCount * elementType.byteWidth
    let start = bytes.startIndex + index * stride
    return Tensor(trusted: elementType, inner, bytes[start..<(start + stride)])
  }

  /// The elements of `range`, counted row-major over all axes, as a vector that shares the same bytes.
  ///
  /// - Precondition: `range` lies in 0..<elementCount.
  public func elements(_ range: Range<Int>) -> Tensor {
    precondition(range.lowerBound >= 0 && range.upperBound <= elementCount, "elements outside the tensor")
    let vector = Shape(partOfChecked: [range.count])
    let width = elementType.byteWidth
    let start = bytes.startIndex + range.lowerBound * width
    return Tensor(trusted: elementType, vector, bytes[start..<(start + range.count * width)])
  }
}

extension Tensor {
  /// The elements whose index along one axis lies in `range`.
  ///
  /// They share the same bytes where these lie together, and are copied otherwise.
  /// - Precondition: the axis is one of the tensor, and the range lies in it.
  public func slice(_ range: Range<Int>, axis: Int) -> Tensor {
    precondition(shape.dimensions.indices.contains(axis) && range.lowerBound >= 0)
    precondition(range.upperBound <= shape[axis], "a slice outside the axis")
    var dimensions = shape.dimensions
    dimensions[axis] = range.count
    guard let target = try? Shape(dimensions) else { preconditionFailure("a part of a valid shape is valid") }
    let outer = shape.dimensions[..<axis].reduce(1, *)
    let inner = shape.dimensions[(axis + 1)...].reduce(1, *) * elementType.byteWidth
    let stride = shape[axis] * inner
    let first = bytes.startIndex + range.lowerBound * inner
    if target.elementCount == 0 { return Tensor(trusted: elementType, target, bytes.prefix(0)) }
    if outer == 1 {
      return Tensor(trusted: elementType, target, bytes[first..<(first + range.count * inner)])
    }
    var copy: [UInt8] = []
    copy.reserveCapacity(outer * range.count * inner)
    for row in 0..<outer {
      copy += bytes[(first + row * stride)..<(first + row * stride + range.count * inner)]
    }
    return Tensor(trusted: elementType, target, copy[...])
  }

  /// The elements at the given indices of one axis, copied.
  ///
  /// - Precondition: the axis is one of the tensor, and the indices lie in it.
  public func gather(_ indices: [Int], axis: Int) -> Tensor {
    precondition(shape.dimensions.indices.contains(axis))
    var dimensions = shape.dimensions
    dimensions[axis] = indices.count
    guard let target = try? Shape(dimensions) else { preconditionFailure("a part of a valid shape is valid") }
    let outer = shape.dimensions[..<axis].reduce(1, *)
    let inner = shape.dimensions[(axis + 1)...].reduce(1, *) * elementType.byteWidth
    if target.elementCount == 0 { return Tensor(trusted: elementType, target, bytes.prefix(0)) }
    var copy: [UInt8] = []
    copy.reserveCapacity(outer * indices.count * inner)
    for row in 0..<outer {
      for index in indices {
        precondition(index >= 0 && index < shape[axis], "an index outside the axis")
        let start = bytes.startIndex + (row * shape[axis] + index) * inner
        copy += bytes[start..<(start + inner)]
      }
    }
    return Tensor(trusted: elementType, target, copy[...])
  }
}
