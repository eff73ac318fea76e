import CLinux
import LibC

/// What the allocator keeps of memory that was freed.
package enum ProcessMemory {
  /// Smaller requests do not move the peak.
  private static let leastRoom = 4 << 20

  /// Has the allocator keep little of what is freed where little may be held for clients.
  ///
  /// By itself it learns from the arrays that are freed: from then on those up to 32 MiB share its heaps, of which holes
  /// between others remain resident, and in 512 MiB there is no room for such holes. An array that is mapped for itself
  /// leaves none, but its pages are cleared by the system every time; so where there is much memory, nothing changes.
  static func keepLittle(ofClientBytes bytes: Int) {
    guard bytes < keepsAll else { return }
    crop_map_arrays_from(Int32(max(bytes / 64, 1 << 20)))
  }

  /// With so much for clients, what the allocator keeps of freed arrays is within the quarter that is left for it.
  private static let keepsAll = 2 << 30

  /// Has the allocator give back what it keeps when that and `bytes` more would not stay under `limit`.
  static func makeRoom(for bytes: Int, limit: Int) {
    guard bytes >= leastRoom, limit < .max, residentBytes > limit - bytes else { return }
    crop_trim_memory()
  }

  /// Has the allocator give back what it keeps when that does not stay under `limit`.
  static func trim(above limit: Int) {
    guard limit < .max, residentBytes > limit else { return }
    crop_trim_memory()
  }

  /// Has an empty buffer take no memory before it is filled: the allocator hands out again what others have touched.
  static func forget(_ buffer: [UInt8]) {
    buffer.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      let page = UInt(sysconf(Int32(_SC_PAGESIZE)))
      let start = (UInt(bitPattern: base) + page - 1) / page * page
      let end = (UInt(bitPattern: base) + UInt(buffer.capacity)) / page * page
      guard end > start else { return }
      madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_DONTNEED)
    }
  }

  /// Resident memory (proc(5), statm); 0 where the system does not say.
  package static var residentBytes: Int {
    let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return 0 }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 128) { buffer in
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      guard count > 0 else { return 0 }
      let fields = buffer[..<count].split(separator: UInt8(ascii: " "))
      guard fields.count > 1, let pages = Int(String(decoding: fields[1], as: UTF8.self)) else { return 0 }
      return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
  }
}
