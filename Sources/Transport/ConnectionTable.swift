/// The connections of one loop by their tokens: a slot, and which of its owners is meant.
///
/// Finding one is an index into an array; a token that outlives its connection finds nothing.
struct ConnectionTable {
  private struct Slot {
    var connection: Connection?
    var token: UInt64
  }

  private var slots: [Slot] = []
  private var free: [Int] = []
  private(set) var count = 0

  private static let slotBits: UInt64 = 24
  private static let slotMask: UInt64 = (1 << slotBits) - 1

  var isEmpty: Bool { count == 0 }

  subscript(token: UInt64) -> Connection? {
    let index = Int(token & Self.slotMask)
    guard index < slots.count, slots[index].token == token else { return nil }
    return slots[index].connection
  }

  /// A token that no connection of this table had before, for one that is to be added.
  mutating func reserve() -> UInt64 {
    let index = free.popLast() ?? slots.count
    if index == slots.count { slots.append(Slot(connection: nil, token: UInt64(index))) }
    precondition(UInt64(index) <= Self.slotMask, "more connections than any system has descriptors")
    // The low bits stay, what stands above them counts the owners.
    slots[index].token &+= Self.slotMask + 1
    return slots[index].token
  }

  /// - Precondition: `token` comes from ``reserve()``.
  mutating func insert(_ connection: Connection, at token: UInt64) {
    slots[Int(token & Self.slotMask)].connection = connection
    count += 1
  }

  /// Lets a token go; false when there is no connection behind it.
  @discardableResult
  mutating func remove(_ token: UInt64) -> Bool {
    let index = Int(token & Self.slotMask)
    guard index < slots.count, slots[index].token == token else { return false }
    let wasThere = slots[index].connection != nil
    slots[index].connection = nil
    slots[index].token &+= Self.slotMask + 1
    free.append(index)
    if wasThere { count -= 1 }
    return wasThere
  }

  /// The connections now, for whoever may remove some of them on the way.
  var all: [Connection] { slots.compactMap(\.connection) }
}
