"""The equations of docs/models.md in float64, written from that page with numpy and nothing of the service.

Weights are a dictionary of float64 arrays by tensor name. Obvious loops over heads and tokens; sizes are tiny.
"""
import numpy as np

EPSILON = 1e-5


def linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights, name, x):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + EPSILON) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def attention(weights, name, heads, x, y, position=None):
    """-> (result [rows of x, outputs], weights [rows of x, rows of y], mean over heads)."""
    queries = linear(weights, f"{name}.query", norm(weights, f"{name}.query_norm", x))
    source = norm(weights, f"{name}.key_norm", y)
    keys = linear(weights, f"{name}.key", source if position is None else source + position)
    values = linear(weights, f"{name}.value", source)
    width = queries.shape[1] // heads
    context = np.zeros((len(x), heads * width))
    mean = np.zeros((len(x), len(y)))
    for row in range(len(x)):
        for head in range(heads):
            columns = slice(head * width, (head + 1) * width)
            shares = softmax(keys[:, columns] @ queries[row, columns] / np.sqrt(width))
            mean[row] += shares / heads
            context[row, columns] = shares @ values[:, columns]
    return linear(weights, f"{name}.output", context), mean


def position_rows(centres, width):
    """-> [tokens, width]; a row of zeros where the centre is None."""
    count = width // 4
    frequencies = np.pi * 64.0 ** (np.arange(count) / max(count - 1, 1))
    rows = np.zeros((len(centres), width))
    for row, centre in zip(rows, centres):
        if centre is not None:
            x, y = (frequencies * coordinate for coordinate in centre)
            row[:] = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)])
    return rows


def localizer_scores(weights, config, image, text, centres):
    """-> one score per token; tokens without a centre take no part."""
    heads, width = config["heads"], config["width"]
    tokens = [token for token, centre in enumerate(centres) if centre is not None]
    patches = linear(weights, "image.projection", norm(weights, "image.norm", image[tokens]))
    patches = patches + position_rows([centres[token] for token in tokens], width)
    words = linear(weights, "text.projection", norm(weights, "text.norm", np.atleast_2d(text)))
    rows = np.vstack([weights["text.null"], words])
    for layer in range(config["layers"]):
        block = f"blocks.{layer}"
        rows = rows + attention(weights, f"{block}.gather", heads, rows, patches)[0]
        patches = patches + attention(weights, f"{block}.attend", heads, patches, rows)[0]
        hidden = gelu(linear(weights, f"{block}.mlp.hidden", norm(weights, f"{block}.mlp.norm", patches)))
        patches = patches + linear(weights, f"{block}.mlp.output", hidden)
    direction = linear(weights, "head.text", norm(weights, "head.text_norm", rows[1:].mean(axis=0)))
    normalized = norm(weights, "head.image_norm", patches)
    match = linear(weights, "head.image", normalized) @ direction / np.sqrt(width)
    logits = match + linear(weights, "head.score", normalized)[:, 0]
    scores = np.zeros(len(centres))
    scores[tokens] = 1 / (1 + np.exp(-logits))
    return scores


def resampler_rows(weights, config, count, part, tokens, image, centres):
    """-> (rows [count, D], strongest row of each token) of one part, `region` or `background`."""
    features = image[tokens]
    projected = linear(weights, "image.projection", norm(weights, "image.norm", features))
    position = position_rows([centres[token] for token in tokens], config["width"])
    queries = weights[f"{part}.queries"][:count]
    rows, shares = attention(weights, "attention", config["heads"], queries, projected, position)
    return rows + shares @ features, shares.argmax(axis=0)


def localizer_shapes(config):
    """-> {tensor name: shape}"""
    width, shapes = config["width"], {}
    _projection(shapes, "image", config["image_width"], width)
    _projection(shapes, "text", config["text_width"], width)
    shapes["text.null"] = (width,)
    for layer in range(config["layers"]):
        _attention(shapes, f"blocks.{layer}.gather", width, width)
        _attention(shapes, f"blocks.{layer}.attend", width, width)
        _norm(shapes, f"blocks.{layer}.mlp.norm", width)
        _linear(shapes, f"blocks.{layer}.mlp.hidden", width, config["mlp_width"])
        _linear(shapes, f"blocks.{layer}.mlp.output", config["mlp_width"], width)
    for name in "image", "text":
        _norm(shapes, f"head.{name}_norm", width)
        _linear(shapes, f"head.{name}", width, width)
    _linear(shapes, "head.score", width, 1)
    return shapes


def resampler_shapes(config):
    width, shapes = config["width"], {}
    _projection(shapes, "image", config["image_width"], width)
    for part in "region", "background":
        shapes[f"{part}.queries"] = (config["queries"], width)
    _attention(shapes, "attention", width, config["image_width"])
    return shapes


def _linear(shapes, name, inputs, outputs):
    shapes[f"{name}.weight"] = (outputs, inputs)
    shapes[f"{name}.bias"] = (outputs,)


def _norm(shapes, name, width):
    shapes[f"{name}.weight"] = (width,)
    shapes[f"{name}.bias"] = (width,)


def _projection(shapes, name, inputs, width):
    _norm(shapes, f"{name}.norm", inputs)
    _linear(shapes, f"{name}.projection", inputs, width)


def _attention(shapes, name, width, outputs):
    _norm(shapes, f"{name}.query_norm", width)
    _norm(shapes, f"{name}.key_norm", width)
    for part in "query", "key", "value":
        _linear(shapes, f"{name}.{part}", width, width)
    _linear(shapes, f"{name}.output", width, outputs)
