import Locking

/// How the parts of one piece of work reach processors that are idle.
///
/// Parts are independent of each other and written for no number of threads: what they compute, and which parts
/// there are, never depends on who does them. Whoever has work for all offers it here and takes part himself.
public struct WorkSharing: Sendable {
  public typealias Part = @Sendable (_ index: Int) -> Void

  /// Does all parts on the caller's thread, one after the other.
  public static let none = WorkSharing { count, part in
    for index in 0..<count { part(index) }
  }

  private let run: @Sendable (_ count: Int, _ part: @escaping Part) -> Void

  /// - Parameter run: calls `part` once with each of 0..<count, from any threads, and returns when all are done.
  public init(_ run: @escaping @Sendable (_ count: Int, _ part: @escaping Part) -> Void) { self.run = run }

  /// Calls `part` once with each of 0..<count and returns when all are done.
  public func forEach(_ count: Int, _ part: @escaping Part) {
    if count == 1 { part(0) } else if count > 1 { run(count, part) }
  }

  /// What `part` returns for each of 0..<count, in that order.
  public func map<Result: Sendable>(
    _ count: Int, _ part: @escaping @Sendable (_ index: Int) -> Result
  ) -> [Result] {
    guard count > 1 else { return (0..<count).map(part) }
    let results = Results<Result>(count)
    run(count) { index in results.put(part(index), at: index) }
    return results.take()
  }
}

/// The results of parts, collected from several threads.
private final class Results<Element: Sendable>: Sendable {
  private let slots: Locked<[Element?]>

  init(_ count: Int) { slots = Locked(Array(repeating: nil, count: count)) }

  public func put(_ element: Element, at index: Int) { slots.withLock { $0[index] = element } }

  public func take() -> [Element] { slots.withLock { $0.compactMap { $0 } } }
}
