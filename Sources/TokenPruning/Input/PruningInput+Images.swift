import PruningNumerics
import Tensors
import VisionLayouts

// A layout with several images is the list of those images: every operation takes it apart here and computes each
// image by itself.

extension TokenLayout {
  /// One image of a layout: its tokens, and what the layout says of these alone.
  struct ImagePart: Sendable, Hashable {
    let tokens: Range<Int>
    let layout: TokenLayout
  }

  /// The images in order; separators belong to the image of the token before them.
  ///
  /// - Complexity: O(views + separators + images log separators).
  var imageParts: [ImagePart] {
    var starts = [0]
    var firstViews = [0]
    for (index, view) in views.enumerated() {
      while starts.count <= view.image {
        starts.append(view.firstToken)
        firstViews.append(index)
      }
    }
    starts.append(tokenCount)
    firstViews.append(views.count)
    return (0..<starts.count - 1).map { image in
      let tokens = starts[image]..<starts[image + 1]
      let views = views[firstViews[image]..<firstViews[image + 1]].map { view in
        TokenView(
          firstToken: view.firstToken - tokens.lowerBound, rows: view.rows, columns: view.columns,
          rowStride: view.rowStride, box: view.box, image: 0, role: view.role)
      }
      return ImagePart(
        tokens: tokens,
        layout: TokenLayout(
          type: type, tokenCount: tokens.count, views: views,
          separators: separators.offsets(within: tokens),
          imageSizes: imageSizes.indices.contains(image) ? [imageSizes[image]] : [], rotaryGrid: rotaryGrid))
    }
  }
}

extension PruningInput {
  /// One image of several: its place among the tokens of the request, and its own input.
  struct ImagePart {
    let tokens: Range<Int>
    let input: PruningInput
  }

  var hasSeveralImages: Bool { (layout?.imageCount ?? 1) > 1 }

  /// The input of each image; itself where there is one.
  ///
  /// Tensors with an axis of all tokens are cut, all others are every image's.
  /// - Complexity: O(elements) where the token axis is not the first, else O(images).
  func imageParts() -> [ImagePart] {
    guard let layout, layout.imageCount > 1, layout.tokenCount == tokenCount else {
      return [ImagePart(tokens: 0..<tokenCount, input: self)]
    }
    let parts = layout.imageParts
    return parts.map { part in
      var own = tensors
      let left = previous.map { $0.indices(within: part.tokens) }
      for (name, tensor) in tensors {
        guard let axis = TokenAxis.of(name, rank: tensor.rank), tokenCount > 0 else { continue }
        // What is about the tokens that are left lies in their order.
        if let left, let previous, tensor.shape[axis] == previous.count, previous.count != tokenCount {
          own[name] = tensor.slice(left, axis: axis)
          continue
        }
        let (rows, rest) = tensor.shape[axis].quotientAndRemainder(dividingBy: tokenCount)
        // Patches are several rows for each token.
        guard rest == 0, rows == 1 || (rows > 1 && TokenAxis.hasPatches(name)) else { continue }
        own[name] = tensor.slice(part.tokens.lowerBound * rows..<part.tokens.upperBound * rows, axis: axis)
      }
      return ImagePart(
        tokens: part.tokens,
        input: PruningInput(
          Image(
            tokenCount: part.tokens.count, layout: part.layout, seed: seed,
            previous: left.flatMap { left in previous?[left].map { $0 - part.tokens.lowerBound } },
            firstToken: firstToken + part.tokens.lowerBound, requestTokenCount: requestTokenCount),
          tensors: own, stepLimit: stepLimit, sharing: sharing))
    }
  }
}

extension PruningError {
  /// The same, said of one image of several.
  func about(image: Int) -> PruningError {
    PruningError(kind, at: pointer, "image \(image): \(message)")
  }
}
