"""What the service answers. Arrays are of torch, on the device of the request's tensors, where those were of torch.

An answer to a batch (`layout` was a list) has `per_image`, one answer for each; its members cannot be taken for those
of one image. Every member of the answer's JSON is also there by name: `answer["decided_by"]`.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Iterator, Mapping, Optional, Sequence, TypeVar

import numpy as np

from . import _safetensors
from ._wire import Fields
from .errors import ArgumentError, ProtocolError

# An array of numpy, or a tensor of torch where the request's tensors were.
Array = Any
_Self = TypeVar("_Self", bound="Answer")
# Members that a batch's answer has once.
_ONCE = frozenset({"batched", "method", "mode", "model", "anchors", "warnings", "read"})
# An answer of one image that begins as the service's do: what most callers ask for and nothing else is read then.
_KEPT = re.compile(rb'\{"method":"\w*","kept_indices":\[([0-9,]+)\]')


class CropWarning(UserWarning):
    """The service answered, and says that the request may not mean what it looks like."""


class Answer(Mapping[str, Any]):
    """The members of an answer by name, and what its response's head says of it."""

    # How the name of a member begins that every answer of this kind has, in JSON as in the header of safetensors.
    _mark = b""
    # Read when they are first asked for.
    _members: Optional[dict[str, Any]] = None
    _images: Optional[list[Any]] = None

    def __init__(
        self, body: bytes, head: bytes, device: Any = None,
        previous: "Optional[Sequence[np.ndarray[Any, Any]]]" = None,
    ) -> None:  # fmt: skip
        self._body = body
        self._head = head
        self._device = device
        self._previous = previous

    @property
    def raw(self) -> dict[str, Any]:
        """The whole answer, as the service sent it."""
        if self._members is None:
            try:
                if self._body[:1] == b"{":
                    members = json.loads(self._body.decode())
                else:
                    tensors, metadata = _safetensors.read(self._body)
                    members = _gathered(json.loads(metadata.get("response", "{}")), tensors)
            except (ProtocolError, ValueError, TypeError) as error:
                raise self.foreign() from error
            if (name := self._mark[1:].decode()) and name not in members:
                raise self.foreign()
            self._members = members
        return self._members

    def foreign(self) -> ProtocolError:
        """-> the exception that says that this comes from something else than the service."""
        kind = Fields(self._head).get("content-type", "of no type")
        return ProtocolError(
            f"this is no answer of crop: {len(self._body)} bytes ({kind:.80}), {self._body[:80]!r}; does url name another server?")

    def __getitem__(self, name: str) -> Any:
        return self.raw[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"

    @property
    def request_id(self) -> Optional[str]:
        """The id under which the server logged this request."""
        return Fields(self._head).get("x-request-id")

    @property
    def server_timing(self) -> dict[str, float]:
        """Milliseconds of each phase in the server, by name."""
        found = {}
        for entry in Fields(self._head).get("server-timing", "").split(","):
            name, _, rest = entry.strip().partition(";dur=")
            if rest:
                found[name] = float(rest)
        return found

    @property
    def warnings(self) -> list[str]:
        """What the service doubts about the request; each was also issued as a `CropWarning`."""
        found = self.raw.get("warnings") or []
        return [one if isinstance(one, str) else json.dumps(one) for one in found]

    @property
    def read(self) -> dict[str, Any]:
        """How the service read the tensors: `images`, `tokens`, `heads`, `queries` and the `layout` assumed for want of one."""
        return dict(self.raw.get("read", {}))

    @property
    def notes(self) -> list[str]:
        """Fallbacks and shortfalls."""
        return list(self.one("notes", []))

    @property
    def is_batch(self) -> bool:
        """Whether the request was a batch."""
        return bool(self.raw.get("batched", False))

    @property
    def per_image(self: _Self) -> list[_Self]:
        """One answer per image of a batch, in order; of a single image, the answer itself."""
        if not self.is_batch:
            return [self]
        if self._images is None:
            count = self._count()
            self._images = [self._part(index, count) for index in range(count)]
        return self._images

    def _count(self) -> int:
        lists = [value for name, value in self.raw.items() if name not in _ONCE and isinstance(value, list)]
        if not lists:
            raise ProtocolError("the answer to a batch has no member with one entry per image")
        return len(lists[0])

    def _part(self: _Self, index: int, count: int) -> _Self:
        part = type(self)(b"", self._head, self._device, None if self._previous is None else [self._previous[index]])
        members = {}
        for name, value in self.raw.items():
            per_image = name not in _ONCE and isinstance(value, list) and len(value) == count
            one = value[index] if per_image else value
            if one is not None and name != "batched":
                members[name] = one
        part._members = members
        return part

    def one(self, name: str, default: Any = None) -> Any:
        """-> a member of one image's answer. Raises `ArgumentError` for a batch, whose images have one each."""
        if self.is_batch:
            raise ArgumentError(f"this answers {len(self.per_image)} images: take `{name}` of each of answer.per_image")
        return self.raw.get(name, default)

    def _array(self, value: Any, dtype: Any = np.int64) -> Array:
        """-> numbers as an array of the request's library."""
        if value is None:
            return None
        array = value if isinstance(value, np.ndarray) else np.array(value, dtype)
        if self._device is None:
            return _safetensors.plain(array)
        torch = sys.modules["torch"]
        if isinstance(array, _safetensors.Raw):
            bits = np.array(array.view(np.ndarray)).view(np.int16)
            return torch.from_numpy(bits).view(torch.bfloat16).to(self._device)
        return torch.from_numpy(array if array.flags.writeable else array.copy()).to(self._device)


def _gathered(members: dict[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The members and the tensors as one object: `features.0`, `features.1` ... become a list."""
    lists: dict[str, dict[int, Any]] = {}
    for name, tensor in tensors.items():
        stem, _, index = name.rpartition(".")
        if stem and index.isdigit():
            lists.setdefault(stem, {})[int(index)] = tensor
        else:
            members[name] = tensor
    for name, entries in lists.items():
        members[name] = [entries[index] for index in sorted(entries)]
    return members


class PruneAnswer(Answer):
    """Which tokens stay."""

    _mark = b'"kept_indices'

    @property
    def kept_indices(self) -> Array:
        """[K] int64, ascending: indices of the tokens that stay. After `previous`, indices of the original tokens."""
        within = self._kept()
        return self._array(within if self._previous is None or within is None else self._previous[0][within])

    @property
    def kept_within_previous(self) -> Array:
        """[K] int64: the same tokens as positions in what `previous` kept; without it, the same as `kept_indices`."""
        return self._array(self._kept())

    def _kept(self) -> "Optional[np.ndarray[Any, Any]]":
        if self._members is None and (found := _KEPT.match(self._body)):
            return np.fromstring(found[1].decode(), np.int64, sep=",")
        within = self.one("kept_indices")
        return None if within is None else np.array(within, np.int64)

    @property
    def keep_tokens(self) -> int:
        """K."""
        return int(self.one("keep_tokens"))

    @property
    def pruned_count(self) -> int:
        """How many tokens go."""
        return int(self.one("pruned_count"))

    @property
    def method(self) -> str:
        """The method that was asked for."""
        return str(self.raw["method"])

    @property
    def decided_by(self) -> str:
        """The method, or the one that `auto` or `crop` chose."""
        return str(self.one("decided_by"))

    @property
    def reason(self) -> Optional[str]:
        """Why `auto` chose that method; None for any other."""
        reason: Optional[str] = self.one("reason")
        return reason

    @property
    def region(self) -> Optional[dict[str, Any]]:
        """The contextual region: `regions`, `source`, `whole_image`, `region_tokens`; None where there is none."""
        region: Optional[dict[str, Any]] = self.one("region")
        return region

    @property
    def position_ids(self) -> Array:
        """[K] or [3, K] int64 ids of the kept tokens, or None where they were neither sent nor follow from the layout."""
        return self._array(self.one("position_ids"))

    @property
    def mrope_position_delta(self) -> Optional[int]:
        """Largest id before pruning + 1 - K, or None."""
        delta: Optional[int] = self.one("mrope_position_delta")
        return delta

    @property
    def scores(self) -> Array:
        """[N] float64, with `explain` and a method that has scores; else None."""
        return self._array(self.one("scores"), np.float64)

    @property
    def stages(self) -> list[dict[str, Any]]:
        """What each stage keeps, where the request had `stages`."""
        return list(self.one("stages", []))


class ReselectAnswer(Answer):
    """Which tokens change places while the language model decodes."""

    _mark = b'"swapped_in'

    @property
    def kept_indices(self) -> Array:
        """[K] int64, ascending: what is kept from now on."""
        return self._array(self.one("kept_indices"))

    @property
    def swapped_out(self) -> Array:
        """[S] int64: kept tokens that go, the largest gain first."""
        return self._array(self.one("swapped_out"))

    @property
    def swapped_in(self) -> Array:
        """[S] int64: the pruned tokens that come in their places, in the same order."""
        return self._array(self.one("swapped_in"))

    @property
    def swap_count(self) -> int:
        """S."""
        return int(self.one("swap_count"))

    @property
    def reason(self) -> str:
        """Why these swaps and no more."""
        return str(self.one("reason"))

    @property
    def kept_share(self) -> tuple[float, float]:
        """The part of all scores that the kept tokens hold, before and after."""
        share = self.one("kept_share")
        return float(share["before"]), float(share["after"])

    @property
    def position_ids(self) -> Array:
        """[K] or [3, K] int64 ids of the kept tokens, or None where they were neither sent nor follow from the layout."""
        return self._array(self.one("position_ids"))

    @property
    def scores(self) -> Array:
        """[N] float64, with `explain`; else None."""
        return self._array(self.one("scores"), np.float64)


class LocalizeAnswer(Answer):
    """The contextual region."""

    _mark = b'"region_indices'

    @property
    def region_indices(self) -> Array:
        """[R] int64, ascending: the tokens inside the region."""
        return self._array(self.one("region_indices"))

    @property
    def regions(self) -> list[dict[str, Any]]:
        """`blocks`, `box` (x0, y0, x1, y1 in 0...1 of the original image), `score` and `area` of each."""
        return list(self.one("regions", []))

    @property
    def source(self) -> str:
        """What the scores came from."""
        return str(self.one("source"))

    @property
    def whole_image(self) -> bool:
        """Whether the map was too flat to decide; `answer["reason"]` then says why."""
        return bool(self.one("whole_image"))

    @property
    def saliency(self) -> "Optional[np.ndarray[Any, Any]]":
        """[8, 8] float64, the map that the region was found in; None where the region was given."""
        found = self.one("saliency")
        return None if found is None else np.array(found["data"], np.float64).reshape(found["shape"])


class CompressAnswer(Answer):
    """Fewer rows that stand for all tokens."""

    _mark = b'"features'

    @property
    def features(self) -> Array:
        """[K, D], in the type of `image_features` or of `dtype`."""
        return self._array(self.one("features"))

    @property
    def kept_indices(self) -> Array:
        """[A] int64: the token (anchor) that each of the first A rows is."""
        return self._array(self.one("kept_indices"))

    @property
    def assignments(self) -> Array:
        """[N] int64: the row each token went into, -1 where it is dropped."""
        return self._array(self.one("assignments"))

    @property
    def sizes(self) -> Array:
        """[K] int64: how many tokens each row stands for."""
        return self._array(self.one("sizes"))


class CompareAnswer(Answer):
    """What several methods keep of one image."""

    _mark = b'"overlap'

    @property
    def methods(self) -> list[dict[str, Any]]:
        """For each method, in the order of the request, its part of the answer; `problem` where it could not run."""
        return list(self.raw["methods"])

    @property
    def kept_indices(self) -> list[Array]:
        """For each method [K] int64, ascending; None where it could not run."""
        return [self._array(one.get("kept_indices")) for one in self.methods]

    @property
    def overlap(self) -> "np.ndarray[Any, Any]":
        """[M, M] float64: the share of the tokens that either method keeps which both keep; NaN where one could not run."""
        rows = [[float("nan") if share is None else share for share in row] for row in self.raw["overlap"]]
        return np.array(rows, np.float64)

    @property
    def region(self) -> Optional[dict[str, Any]]:
        """The region that the methods are measured against; None where there is none."""
        region: Optional[dict[str, Any]] = self.raw.get("region")
        return region


class PlanAnswer(Answer):
    """How many tokens `prune` will keep."""

    _mark = b'"tokens'

    @property
    def pays(self) -> Optional[bool]:
        """Whether pruning saves more than it costs, with `break_even`; None without it."""
        verdict = self.raw.get("break_even", {}).get("verdict")
        return {"pays": True, "does_not_pay": False}.get(verdict)

    @property
    def tokens(self) -> int:
        """N, newlines included."""
        return int(self.raw["tokens"])

    @property
    def keep_tokens(self) -> Optional[int]:
        """K, newlines that stay included; None where the scores of other images decide."""
        count: Optional[int] = self.raw["keep_tokens"]
        return count

    @property
    def per_image(self) -> "list[PlanAnswer]":
        """One plan per layout of a batch."""
        if not self.is_batch:
            return [self]
        parts = []
        for members in self.raw["layouts"]:
            part = PlanAnswer(b"", self._head)
            part._members = members
            parts.append(part)
        return parts
