/// One row of the register tile of a blocked product: as many registers as a panel is wide, or fewer.
protocol TileRow {
  static var zero: Self { get }
  /// Consecutive elements of a panel.
  static func load(_ source: UnsafePointer<Float>) -> Self
  mutating func add(_ factor: Float, times row: Self)
  func store(_ target: UnsafeMutablePointer<Float>)
  /// target[i] += self[i].
  func addTo(_ target: UnsafeMutablePointer<Float>)
}

#if WIDE
  typealias TileLanes = SIMD16<Float>
#elseif FUSED
  typealias TileLanes = SIMD8<Float>
#else
  typealias TileLanes = SIMD4<Float>
#endif

extension TileLanes {
  @inline(__always)
  fileprivate static func load(_ source: UnsafePointer<Float>, _ register: Int) -> TileLanes {
    UnsafeRawPointer(source + register &* TileLanes.scalarCount).loadUnaligned(as: TileLanes.self)
  }

  @inline(__always)
  fileprivate func store(_ target: UnsafeMutablePointer<Float>, _ register: Int) {
    UnsafeMutableRawPointer(target + register &* TileLanes.scalarCount)
      .storeBytes(of: self, as: TileLanes.self)
  }
}

struct OneRegister: TileRow {
  private var a: TileLanes

  static var zero: Self { Self(a: .zero) }

  @inline(__always)
  static func load(_ source: UnsafePointer<Float>) -> Self { Self(a: .load(source, 0)) }

  @inline(__always)
  mutating func add(_ factor: Float, times row: Self) { a.add(TileLanes(repeating: factor), times: row.a) }

  @inline(__always)
  func store(_ target: UnsafeMutablePointer<Float>) { a.store(target, 0) }

  @inline(__always)
  func addTo(_ target: UnsafeMutablePointer<Float>) { (a + .load(target, 0)).store(target, 0) }
}

struct TwoRegisters: TileRow {
  private var a: TileLanes
  private var b: TileLanes

  static var zero: Self { Self(a: .zero, b: .zero) }

  @inline(__always)
  static func load(_ source: UnsafePointer<Float>) -> Self {
    Self(a: .load(source, 0), b: .load(source, 1))
  }

  @inline(__always)
  mutating func add(_ factor: Float, times row: Self) {
    let lanes = TileLanes(repeating: factor)
    a.add(lanes, times: row.a)
    b.add(lanes, times: row.b)
  }

  @inline(__always)
  func store(_ target: UnsafeMutablePointer<Float>) {
    a.store(target, 0)
    b.store(target, 1)
  }

  @inline(__always)
  func addTo(_ target: UnsafeMutablePointer<Float>) {
    (a + .load(target, 0)).store(target, 0)
    (b + .load(target, 1)).store(target, 1)
  }
}

#if WIDE
  struct ThreeRegisters: TileRow {
    private var a: TileLanes
    private var b: TileLanes
    private var c: TileLanes

    static var zero: Self { Self(a: .zero, b: .zero, c: .zero) }

    @inline(__always)
    static func load(_ source: UnsafePointer<Float>) -> Self {
      Self(a: .load(source, 0), b: .load(source, 1), c: .load(source, 2))
    }

    @inline(__always)
    mutating func add(_ factor: Float, times row: Self) {
      let lanes = TileLanes(repeating: factor)
      a.add(lanes, times: row.a)
      b.add(lanes, times: row.b)
      c.add(lanes, times: row.c)
    }

    @inline(__always)
    func store(_ target: UnsafeMutablePointer<Float>) {
      a.store(target, 0)
      b.store(target, 1)
      c.store(target, 2)
    }

    @inline(__always)
    func addTo(_ target: UnsafeMutablePointer<Float>) {
      (a + .load(target, 0)).store(target, 0)
      (b + .load(target, 1)).store(target, 1)
      (c + .load(target, 2)).store(target, 2)
    }
  }
#endif
