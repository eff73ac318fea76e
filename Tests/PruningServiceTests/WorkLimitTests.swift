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
