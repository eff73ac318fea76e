import HTTP1
import JSON
import Tensors
import Testing
import TokenPruning

@testable import PruningService

/// A few kilobytes must not occupy a compute thread for hours.
@Suite struct WorkLimitTests {
  private let service = TestService(maximumBodyBytes: 8 << 20)

  private func features(_ shape: [Int]) throws -> (name: String, tensor: Tensor) {
    ("image_features", try .random(shape, seed: 7))
  }

  @Test("refuses to merge a million tokens pair by pair, before it starts")
  func merging() throws {
    let body = Body([try features([1 << 20, 1])])
    let reply = try service.send("POST /compress?keep_ratio=0.5&anchors=strided", body: body.safetensors())
    #expect(reply.status == 422)
    #expect(reply.text.contains("more work than one request may do"))
  }

  private func estimate(_ target: String, _ body: [UInt8]) throws -> Double? {
    let head = try TestService.head("POST \(target)", contentLength: body.count)
    var request = Request(head: head, body: body)
    return service.service.prepare(&request)?.nanoseconds
  }

  @Test("A scoring method is estimated to take microseconds, a comparison of all tokens what its pairs take")
  func estimates() throws {
    let scores = try Body([("attention", .random([576], seed: 1))]).npy()
    let rows = try Body([("attention", .random([20, 576], seed: 1))]).safetensors()
    for query in ["method=topk", "method=fastv", "region_policy=none", "localize=true", "method=uniform"] {
      for body in [scores, rows] {
        let time = try #require(try estimate("/prune?keep_tokens=9&\(query)", body))
        #expect((1_000...50_000).contains(time), "\(query)")
      }
    }
    let image = Body([try features([576, 16])], ["keep_tokens": 9]).safetensors()
    let few = try #require(try estimate("/prune?method=divprune", image))
    let wide = Body([try features([288, 32])], ["keep_tokens": 9]).safetensors()
    let half = try #require(try estimate("/prune?method=divprune", wide))
    #expect(few > half && half > 10_000)
    // Whoever compares all pairs whatever they are takes longer than a loop with others to serve would compute.
    let all = try #require(try estimate("/prune?method=scope", image))
    #expect(all > 4 * few && all > 300_000)
  }

  @Test("What cannot be decoded, prepared or computed in microseconds is not prepared on an event loop")
  func unbounded() throws {
    let scores = try Body([("attention", .random([576], seed: 1))]).npy()
    #expect(try estimate("/prune?keep_tokens=1&method=topk", scores) != nil)
    // A layout of many tokens in a few bytes.
    let layout = "layout=%7B%22type%22:%22grid%22,%22rows%22:1000,%22columns%22:1000%7D"
    #expect(try estimate("/prune?keep_tokens=1&method=uniform&\(layout)", Array("{}".utf8)) == nil)
    // Large bodies of a form that was never seen, and text that takes long to read.
    let large = Body([("attention", try .random([40, 576], seed: 1))], ["keep_tokens": 1])
    #expect(try estimate("/prune?method=topk", large.safetensors()) == nil)
    #expect(try estimate("/prune?method=topk", large.json()) == nil)
    // Searches whose cost depends on the size of the image.
    let objective = "localize=%7B%22objective%22:%22vicrop%22,%22image_size%22:[400,300]%7D"
    #expect(try estimate("/localize?\(objective)", scores) == .infinity)
    // What is rejected is rejected at once.
    #expect(try estimate("/prune?keep_tokens=577&method=topk", scores) == 0)
  }

  @Test("stages may answer as many indices as one step of the largest layout, no more")
  func stageIndices() throws {
    let reply = try service.post(
      "/prune",
      """
      {"method":"random","layout":{"type":"grid","rows":1024,"columns":1024},
       "stages":[{"layer":1,"keep_ratio":1},{"layer":2,"keep_ratio":1}]}
      """)
    #expect(reply.summary == "422 invalid-input at /stages")
  }

  @Test("the images of a batch share the work of one request")
  func batch() throws {
    let target = "POST /compress?keep_ratio=0.5&anchors=density_peaks"
    let one = try service.send(target, body: Body([try features([512, 1])]).safetensors())
    #expect(one.status == 200)
    let many = try service.send(target, body: Body([try features([1900, 512, 1])]).safetensors())
    #expect(many.status == 422)
    #expect(many.text.contains("more work than one request may do"))
  }
}
