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
    #expect(reply.text.contains("more work than one request may ask for"))
  }

  @Test("only a body without parameters is computed on the event loop")
  func inline() throws {
    let head = try TestService.head("POST /prune?method=topk")
    for (body, isCheap) in [
      (try Body([("attention", try Tensor.float32([1, 2], shape: Shape([2])))]).npy(), true),
      (try Body([("attention", try Tensor.float32([1, 2], shape: Shape([2, 1])))]).npy(), true),
      (try Body([("attention", try .random([65, 2], seed: 1))]).npy(), false),
      (try Body([("attention", try .random([65, 64], seed: 1))]).npy(), true),
      (try Body([("attention", try .random([2, 65, 64], seed: 1))]).npy(), false),
      (try Body([("attention", try .random([1, 4097], seed: 1))]).npy(), false),
      (Array("{\"layout\":{}}".utf8), false), (Array("{\"attention\":[1,2]}".utf8), false), ([], false),
    ] {
      #expect(service.service.mayRespondInline(to: Request(head: head, body: body), as: .inline) == isCheap)
    }
  }

  @Test("only so many pairs of rows are compared on an event loop, and only without parameters in the body")
  func alone() throws {
    let head = try TestService.head("POST /prune?method=divprune")
    let text = (name: "text_features", tensor: try Tensor.random([32, 64], seed: 8))
    let image = try features([576, 64])
    for (body, isBrief) in [
      (try Body([image]).npy(), true),
      (Body([image, text]).safetensors(), true),
      (Body([image, text], ["keep_tokens": 3]).safetensors(), false),
      (try Body([try features([2, 288, 64])]).npy(), true),
      (try Body([try features([4096, 16])]).npy(), true),
      (try Body([try features([4096, 32])]).npy(), false),
      (try Body([try features([4097, 1])]).npy(), false),
      (try Body([try features([64, 65, 1])]).npy(), false),
      (try Body([try features([1, 4097])]).npy(), false),
      (Body([try features([4096, 8]), text]).safetensors(), false),
      (try Body([image]).json(), false), (Array("{\"layout\":{}}".utf8), false), ([], false),
    ] {
      #expect(
        service.service.mayRespondInline(to: Request(head: head, body: body), as: .inlineWhenAlone) == isBrief
      )
    }
  }

  @Test(
    "a query string that adds to the cost is not computed on the event loop",
    arguments: [("keep_tokens=1", true), ("layout=1", false), ("stages=1", false), ("localize=1", false)])
  func inlineQuery(query: String, isInline: Bool) throws {
    let head = try TestService.head("POST /prune?method=topk&\(query)", contentLength: 9)
    guard case .accept(let acceptance) = service.service.admit(head, framing: .length(9)) else {
      Issue.record("not admitted")
      return
    }
    #expect((acceptance.execution == .inline) == isInline)
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
    let many = try service.send(target, body: Body([try features([2048, 512, 1])]).safetensors())
    #expect(many.status == 422)
    #expect(many.text.contains("more work than one request may ask for"))
  }
}
