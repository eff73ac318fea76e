"""The small vision-language model: a patch encoder with [CLS], and a causal language model that reads its features."""
import torch
from torch import nn
from torch.nn import functional

from . import scenes, vocabulary

WIDTH, HEADS = 128, 4
PATCHES = scenes.GRID ** 2
ENCODER_LAYERS, LANGUAGE_LAYERS = 3, 12
# Layers (from 0) at which one head is told where to look: the nouns first, then the last word.
NOUN_LAYER, ANSWER_LAYER = 4, 7
MASKED = -1e4
# A mask that lets every token see itself and what is before it.
CAUSAL = "causal"


class Norm(nn.Module):
    """RMS norm over the last axis."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return functional.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)


class Block(nn.Module):
    """Attention and a perceptron, both before a norm and on a residual path."""

    def __init__(self, hidden):
        super().__init__()
        self.norm1, self.norm2 = Norm(WIDTH), Norm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, hidden, bias=False)
        self.down = nn.Linear(hidden, WIDTH, bias=False)
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.normal_(self.down.weight, std=0.02)

    def project(self, x, rotation=None):
        """Queries, keys and values [batch, heads, tokens, width of a head]."""
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        return q, k, v

    def forward(self, x, mask=None, rotation=None, last=0):
        """-> (output, queries, keys); of the `last` tokens alone if it is not 0, which mask has as many rows for"""
        q, k, v = self.project(x, rotation)
        if last:
            q, x = q[:, :, -last:], x[:, -last:]
        mixed = mix(q, k, v, mask)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm2(x)))), q, k


def mix(q, k, v, mask):
    """Attention."""
    if mask is CAUSAL:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def rotate(x, rotation):
    """Rotary positions on the first half of a head's width; the other half compares contents at any distance."""
    cosine, sine = rotation
    turned, plain = x.chunk(2, -1)
    first, second = turned.chunk(2, -1)
    turned = turned * cosine + torch.cat([-second, first], -1) * sine
    return torch.cat([turned, plain], -1)


def attention(q, k, mask=None):
    """Probabilities [batch, heads, queries, keys]."""
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return (scores if mask is None else scores + mask).softmax(-1)


def convolution(inputs, outputs, size, stride):
    padding = (size - 1) // 2 if size % 2 else (size - stride) // 2
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Neighbourhood(nn.Module):
    """Each patch sees those around it at known offsets: what stands left of what is a matter of three or four patches.

    Begins as the identity, so that weights trained without it still hold.
    """

    def __init__(self):
        super().__init__()
        self.norm = Norm(WIDTH)
        self.around = nn.Conv2d(WIDTH, WIDTH, 9, padding=4, groups=WIDTH)
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, x, shape):
        """[batch, 1 + rows * columns, WIDTH] of a grid of that shape -> the same; [CLS] is left alone."""
        grid = self.norm(x[:, 1:]).transpose(1, 2).unflatten(2, shape)
        mixed = self.around(grid).flatten(2).transpose(1, 2)
        return torch.cat([x[:, :1], x[:, 1:] + self.down(functional.gelu(self.up(mixed)))], 1)


class Encoder(nn.Module):
    """[batch, 3, 256, 256] -> [CLS] and one feature per 16 x 16 patch, [batch, 257, WIDTH]."""

    def __init__(self):
        super().__init__()
        self.stem = convolution(3, 48, 4, 4)
        self.eighth = nn.ModuleList([convolution(48, 96, 3, 2), convolution(96, 96, 3, 1)])
        self.sixteenth = nn.ModuleList([convolution(96, WIDTH, 3, 2), convolution(WIDTH, WIDTH, 3, 1)])
        self.positions = nn.Parameter(torch.randn(PATCHES, WIDTH) * 0.02)
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.layers = nn.ModuleList([Block(3 * WIDTH) for _ in range(ENCODER_LAYERS)])
        self.neighbourhoods = nn.ModuleList([Neighbourhood() for _ in range(ENCODER_LAYERS)])
        self.norm = Norm(WIDTH)

    def patches(self, images):
        """-> (what the first layer reads [batch, 1 + rows * columns, WIDTH], (rows, columns))"""
        x = self.eighth[0](self.stem(images))
        x = x + self.eighth[1](x)
        x = self.sixteenth[0](x)
        x = x + self.sixteenth[1](x)
        shape = tuple(x.shape[2:])
        x = x.flatten(2).transpose(1, 2) + self.positions
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        return self.neighbourhoods[0](x, shape), shape

    def forward(self, images):
        """-> (features [batch, 1 + rows * columns, WIDTH], the last layer's queries and keys)"""
        x, shape = self.patches(images)
        x, q, k = self.layers[0](x)
        for neighbourhood, layer in zip(self.neighbourhoods[1:], self.layers[1:]):
            x, q, k = layer(neighbourhood(x, shape))
        return self.norm(x), q, k


def pixels(images):
    """uint8 [batch, 256, 256, 3] -> [batch, 3, 256, 256] about 0."""
    return (torch.tensor(images).permute(0, 3, 1, 2).float() / 255 - 0.45) * 4


class Heads(nn.Module):
    """What patch features are trained to say. Words are dot products with the language model's embeddings."""

    WORDS = ["content", "colour", *scenes.SIDES]

    def __init__(self):
        super().__init__()
        self.words = nn.ModuleDict({name: nn.Linear(WIDTH, WIDTH) for name in self.WORDS})
        self.character_head = nn.Linear(WIDTH, len(vocabulary.CHARACTERS) + 1)
        self.size_head = nn.Linear(WIDTH, len(scenes.SIZE_BINS) + 2)
        self.count_head = nn.Linear(WIDTH, len(vocabulary.COUNTS) + 1)
        self.scene_head = nn.Linear(WIDTH, len(vocabulary.SCENES))
        self.present_head = nn.Linear(WIDTH, len(vocabulary.OBJECTS))


class LanguageModel(nn.Module):
    """A causal transformer over visual tokens and the words of questions that are packed behind them."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(vocabulary.WORDS), WIDTH)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.layers = nn.ModuleList([Block(2 * WIDTH) for _ in range(LANGUAGE_LAYERS)])
        self.norm = Norm(WIDTH)
        self.output_scale_token = nn.Parameter(torch.tensor(1.0))
        # Words and patches of equal content begin with equal queries and keys where nouns are to look.
        head = WIDTH // HEADS
        qkv = self.layers[NOUN_LAYER].qkv.weight.data
        qkv[WIDTH:WIDTH + head] = qkv[:head]
        turns = head // 4
        angles = torch.arange(PATCHES + vocabulary.QUESTION_LENGTH)[:, None] / 1000 ** (torch.arange(turns) / turns)
        self.register_buffer("cosine", torch.cat([angles.cos()] * 2, 1), persistent=False)
        self.register_buffer("sine", torch.cat([angles.sin()] * 2, 1), persistent=False)

    def rotation(self, positions):
        """positions [batch, tokens]"""
        return self.cosine[positions][:, None], self.sine[positions][:, None]

    def logits(self, hidden):
        return self.norm(hidden) @ self.embedding.weight.T * self.output_scale_token


class Projector(nn.Module):
    """Patch features -> visual tokens: two layers, and the encoder's own word directions on a shortcut."""

    def __init__(self):
        super().__init__()
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)
        self.row_position = nn.Parameter(torch.randn(scenes.GRID, WIDTH) * 0.1)
        self.column_position = nn.Parameter(torch.randn(scenes.GRID, WIDTH) * 0.1)
        self.shortcut_token = nn.Parameter(torch.full((2,), 0.3))

    def forward(self, features, heads):
        """[batch, 256, WIDTH] -> the same shape, as the language model sees it."""
        x = self.down(functional.gelu(self.up(features)))
        for weight, name in zip(self.shortcut_token, ("content", "colour")):
            x = x + weight * functional.rms_norm(heads.words[name](features), (WIDTH,))
        return x + (self.row_position[:, None] + self.column_position[None]).flatten(0, 1)


class VisionLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.heads, self.projector, self.language = Encoder(), Heads(), Projector(), LanguageModel()

    def visual(self, features):
        """Features with [CLS] [batch, 257, WIDTH] -> visual tokens [batch, 256, WIDTH]."""
        return self.projector(features[:, 1:], self.heads)

    def answer(self, visual, positions, words, lengths, watch=()):
        """Logits [batch, questions, words] at the last word of each packed question.

        visual [batch, n, WIDTH] at `positions` [batch, n] of 0...255; words [batch, questions, 7]; lengths
        [batch, questions]. `watch` names layers whose attention of the question words is returned too, as
        {layer: [batch, questions, 7, n + 7]} of head 0: to the visual tokens, then to the question's own words.
        """
        batch, count = visual.shape[:2]
        questions, length = words.shape[1:]
        language = self.language
        x = torch.cat([visual, language.embedding(words).view(batch, questions * length, WIDTH)], 1)
        mask = packed_mask(count, questions, length)
        text = (PATCHES + torch.arange(length).repeat(questions)).expand(batch, -1)
        rotation = language.rotation(torch.cat([positions, text], 1))
        watched = {}
        for index, layer in enumerate(language.layers):
            x, q, k = layer(x, mask, rotation)
            if index in watch:
                watched[index] = question_attention(q[:, :1], k[:, :1], count, questions, length)[:, 0]
        hidden = x[:, count:].unflatten(1, (questions, length))
        last = (lengths - 1)[..., None, None].expand(-1, -1, 1, WIDTH)
        logits = language.logits(hidden.gather(2, last)[:, :, 0])
        return (logits, watched) if watch else logits


def packed_mask(count, questions, length):
    """0 where a token may look, MASKED elsewhere: questions see the picture and themselves, all causally."""
    segment = torch.cat([torch.zeros(count, dtype=torch.long),
                         torch.arange(1, questions + 1).repeat_interleave(length)])
    index = torch.arange(len(segment))
    allowed = (index[:, None] >= index) & ((segment[:, None] == segment) | (segment == 0))
    return torch.zeros(allowed.shape).masked_fill(~allowed, MASKED)


def question_attention(q, k, count, questions, length):
    """[batch, heads, questions, length, count + length] without the scores between different questions."""
    shape = (questions, length)
    queries = q[:, :, count:].unflatten(2, shape)
    scale = q.shape[-1] ** -0.5
    to_visual = torch.einsum("bhqld,bhnd->bhqln", queries, k[:, :, :count])
    own = queries @ k[:, :, count:].unflatten(2, shape).transpose(-1, -2)
    causal = torch.triu(torch.full((length, length), MASKED), 1)
    return (torch.cat([to_visual, own], -1) * scale + functional.pad(causal, (count, 0))).softmax(-1)
