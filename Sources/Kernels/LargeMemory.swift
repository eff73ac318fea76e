import CMemory

/// What keeps the first touch of large memory cheap.
///
/// The system hands out zeroed pages of 4 KiB, one at the first write to each. For matrices of tens of megabytes that
/// takes as long as filling them; in pages of 2 MiB it takes a tenth.
public enum LargeMemory {
  /// Smaller memory is mostly what was freed before, and has its pages already.
  static let threshold = 4 << 20

  /// Asks for large pages behind memory that is about to be filled.
  public static func prepare<Element>(_ memory: UnsafeMutableBufferPointer<Element>) {
    let bytes = UnsafeMutableRawBufferPointer(memory)
    if bytes.count >= threshold { crop_expect_large_pages(bytes.baseAddress, bytes.count) }
  }
}
