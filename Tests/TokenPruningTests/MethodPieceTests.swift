import JSON
import Testing

@testable import Localization
@testable import PruningNumerics
@testable import TokenPruning

/// The pieces that published methods are made of, against values worked out by hand or by another program.
@Suite struct MethodPieceTests {
  @Test(
    "Cosine and sine are those of the C library to the last places",
    arguments: [
      (0, 1, 0), (1, 0.5403023058681398, 0.8414709848078965),
      (-2.5, -0.8011436155469337, -0.5984721441039564),
      (0.7853981633974483, 0.7071067811865476, 0.7071067811865475),
      (1e3, 0.5623790762907029, 0.8268795405320025), (1e8, -0.3633850893556905, 0.931639027109726),
    ] as [(Double, Double, Double)])
  func trigonometry(angle: Double, cosine: Double, sine: Double) {
    let found = cosineAndSine(angle)
    #expect(abs(found.cosine - cosine) <= 5e-16 && abs(found.sine - sine) <= 5e-16)
  }

  @Test("Cosine and sine lie on the unit circle and continue each other")
  func circle() {
    for step in 0..<2000 {
      let angle = Double(step) * 0.37 - 300
      let (cosine, sine) = cosineAndSine(angle)
      #expect(abs(cosine * cosine + sine * sine - 1) <= 5e-16)
      let (next, _) = cosineAndSine(angle + 1)
      #expect(abs(next - (cosine * 0.5403023058681398 - sine * 0.8414709848078965)) <= 1e-13)
    }
  }

  @Test("Rotary frequencies fall from 1, and rotation keeps lengths and relative angles")
  func rotation() {
    let rotary = RotaryFrequencies(width: 8, base: 10_000)
    #expect(zip(rotary.frequencies, [1, 0.1, 0.01, 0.001]).allSatisfy { abs($0 - $1) <= 1e-15 })
    let a = (0..<8).map { Double($0) - 3 }
    let b = (0..<8).map { 1 / Double($0 + 1) }
    func product(_ p: Int, _ q: Int) -> Double {
      innerProduct(rotary.rotated(a, to: p), rotary.rotated(b, to: q))
    }
    #expect(abs(product(5, 9) - product(105, 109)) <= 1e-12)
    #expect(abs(product(5, 9) - product(5, 10)) > 1e-3)
  }

  @Test("Eigenvalues of symmetric matrices, multiple and zero ones too")
  func eigenvalues() throws {
    func check(_ rows: [[Double]], _ expected: [Double]) throws {
      var steps = StepCounter(limit: .unlimited)
      let found = try SymmetricEigenvalues.of(rows, &steps).sorted()
      #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-12 } && found.count == expected.count)
    }
    try check([], [])
    try check([[3]], [3])
    try check([[2, 1], [1, 2]], [1, 3])
    try check([[1, 1, 1], [1, 1, 1], [1, 1, 1]], [0, 0, 3])
    try check([[2, -1, 0], [-1, 2, -1], [0, -1, 2]], [2 - 2.0.squareRoot(), 2, 2 + 2.0.squareRoot()])
  }

  @Test(
    "A set of numbers is walked as CPython 3.11 does",
    arguments: [
      ([], []), ([3, 1, 2], [1, 2, 3]), ([8, 0], [8, 0]), ([0, 8], [0, 8]),
      ([76, 75, 35, 36, 117, 107, 109, 101], [35, 36, 101, 75, 76, 107, 109, 117]),
      (
        [587, 58, 179, 52, 615, 628, 618, 619],
        [615, 618, 587, 619, 179, 52, 628, 58]
      ),
    ] as [([Int], [Int])])
  func setOrder(numbers: [Int], expected: [Int]) {
    #expect(CPythonSet.iterationOrder(of: numbers) == expected)
    #expect(CPythonSet.iterationOrder(of: numbers + numbers) == expected)
  }

  @Test("Outliers lie above the third quartile by 1.5 interquartile ranges")
  func outliers() {
    // Quartiles 2 and 4: the limit is 7.
    #expect(AdaptiveCount.outliers(among: [1, 2, 3, 4, 7]) == 0)
    #expect(AdaptiveCount.outliers(among: [1, 2, 3, 4, 7.5]) == 1)
    #expect(AdaptiveCount.outliers(among: []) == 0 && AdaptiveCount.outliers(among: [1, 1, 1]) == 0)
  }

  @Test(
    "An adaptive method keeps outliers only, and never more than the budget", arguments: ["prumerge", "trim"])
  func adaptive(name: String) throws {
    // Tokens 7 and 20 stand out, in attention and against the text.
    func level(_ token: Int, _ plain: Float, _ outstanding: Float) -> Float {
      token == 7 || token == 20 ? outstanding : plain + Float(token) / 400
    }
    let input = try makeInput(40) { values in
      values["attention"] = (0..<80).map { level($0 % 40, 1, 9) }
      values["text_features"] = [Float](repeating: -0.1, count: 24)
      values["image_features"] = (0..<960).map { level($0 / 24, 0, 1) }
    }
    let method = try MethodRegistry.standard.make(name, ["adaptive": true])
    func kept(_ count: Int) throws -> [Int] {
      try method.select(SelectionTask(count: count, candidates: Array(0..<40)), from: input).sorted()
    }
    #expect(try kept(12) == [7, 20])
    #expect(try kept(1) == [7])
    let merged = try method.merge(12, of: input)
    #expect(merged.kept.sorted() == [7, 20] && merged.features.rows == 3 && merged.sizes == [1, 1, 38])
  }

  @Test("DART's order of turns is the caller's choice")
  func faithfulDart() throws {
    let input = try makeInput(64)
    func kept(_ parameters: JSONObject) throws -> Set<Int> {
      Set(
        try MethodRegistry.standard.make("dart", parameters)
          .select(SelectionTask(count: 20, candidates: Array(0..<64)), from: input))
    }
    #expect(try kept([:]).count == 20)
    #expect(try kept(["faithful": true, "image_start": 35]) != kept([:]))
  }

  @Test("HiRED leaves unspent what rounding leaves over only when asked to")
  func faithfulHired() throws {
    let input = try makeInput(80)
    func count(_ isFaithful: Bool) throws -> Int {
      try MethodRegistry.standard.make(
        "hired", ["tile_rows": 2, "tile_columns": 2, "faithful": .bool(isFaithful)]
      ).select(SelectionTask(count: 27, candidates: Array(0..<80)), from: input).count
    }
    #expect(try count(false) == 27)
    #expect(try count(true) < 27)
  }

  @Test("Impossible tiles, frames, widths and sizes are refused at their place")
  func refused() throws {
    func pointer(_ name: String, _ parameters: JSONObject, _ count: Int = 36) -> String? {
      pruningError {
        let method = try MethodRegistry.standard.make(name, parameters)
        _ = try method.select(SelectionTask(count: 2, candidates: Array(0..<count)), from: makeInput(count))
      }?.pointer
    }
    #expect(pointer("hired", ["tile_rows": 2]) == "/method_parameters/tile_columns")
    #expect(pointer("hired", ["tile_rows": 2, "tile_columns": 2]) == "/method_parameters/tile_rows")
    #expect(
      pointer("hired", ["tile_rows": 1, "tile_columns": 1], 36) == "/method_parameters/tile_rows")
    #expect(pointer("evs", ["frames": 5]) == "/method_parameters/frames")
    #expect(pointer("sparsevlm_plus", ["head_width": 3]) == "/method_parameters/head_width")
    var tensors = try makeInput(36).tensors
    tensors["sizes"] = try floatTensor([Float](repeating: 0.5, count: 36), [36])
    let input = PruningInput(tokenCount: 36, tensors: tensors, layout: nil)
    #expect(
      pruningError { _ = try MethodRegistry.standard.make("tome").merge(4, of: input) }?.pointer == "sizes")
  }

  @Test("Raters are the words above the mean, and given ones take their place")
  func raters() throws {
    // Token rows are the two axes; word 1 lies along both, word 0 and 2 against them.
    let input = PruningInput(
      tokenCount: 2,
      tensors: [
        "image_features": try floatTensor([1, 0, 0, 1], [2, 2]),
        "text_features": try floatTensor([-1, -1, 2, 2, -3, -3], [3, 2]),
        "attention": try floatTensor([5, 0, 0, 1, 9, 0], [1, 3, 2]),
      ], layout: nil)
    let method = try #require(try MethodRegistry.standard.make("sparsevlm") as? SparseVLM)
    #expect(try method.scores(of: input) == [0, 1])
    var tensors = input.tensors
    tensors["text_raters"] = try floatTensor([1, 0, 1], [3])
    #expect(
      try method.scores(of: PruningInput(tokenCount: 2, tensors: tensors, layout: nil)) == [7, 0])
  }
}
