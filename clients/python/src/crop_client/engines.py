"""Video pruning of vLLM and SGLang by the service, and pruned images for vLLM.

Both engines prune the tokens of videos with one function, `compute_retention_mask`, after they have reserved as many places
as its count says. `register_vllm` and `register_sglang` put one in its place that asks the service and keeps exactly as many.
They are entry points (`vllm.general_plugins`, `sglang.srt.plugins`), so installing this package offers them; they do nothing
unless the environment of every process of the engine says where the service is:

    CROPCLIENT_URL            such as unix:/run/crop.sock
    CROPCLIENT_METHOD         evs by default; any method that needs image_features alone, or with them text_features
    CROPCLIENT_API_KEY        where the service wants one
    CROPCLIENT_ON_FAILURE     raise (default), or original: the engine's own pruning, with a warning in the log

The engine's rate stays its own setting (`--video-pruning-rate`). The question does not reach the function that prunes, so a
method that needs `text_features` fails, loudly, unless `question` gave them in the very process that prunes. And the engines
keep encoded videos by their content: where the question decides, that cache must be off.

Written against the sources of vLLM 0.33 and SGLang 0.5.23; other versions are rejected where the function's parameters
differ. It was tested against these functions, not on a running engine.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import os
import sys
from typing import Any, Callable, Iterator, Mapping, Optional

from . import layouts
from ._client import Client
from .errors import ArgumentError, CropError

_log = logging.getLogger(__name__)
_PARAMETERS = ["video_embeds", "video_size_thw", "spatial_merge_size", "q"]
_FUNCTION = "compute_retention_mask"
# The text features of the prompt that is being computed, in this process.
_question: Any = None


@contextlib.contextmanager
def question(text_features: Any) -> Iterator[None]:
    """Gives the question's features [D] or [M, D] to the pruning of videos within the block.

    It reaches an engine that computes in this process (vLLM with `VLLM_ENABLE_V1_MULTIPROCESSING=0` on one device), one
    prompt at a time. Elsewhere methods that need it raise, as they would without it.
    """
    global _question
    before, _question = _question, text_features
    try:
        yield
    finally:
        _question = before


def keep_count(tokens: int, tokens_per_frame: int, rate: float) -> int:
    """-> how many tokens of a video both engines reserve places for: never fewer than one frame has."""
    return max(tokens_per_frame, int(tokens * (1 - rate)))


class RetentionMask:
    """`compute_retention_mask` of the engines, decided by the service: same parameters, same count."""

    def __init__(
        self, client: Client, method: str = "evs", original: Optional[Callable[..., Any]] = None, **arguments: Any
    ) -> None:
        self._client, self._method, self._original, self._arguments = client, method, original, arguments
        self._needs_text: Optional[bool] = None

    def __call__(self, video_embeds: Any, video_size_thw: Any, spatial_merge_size: int, q: float) -> Any:
        """-> [T H W / merge^2] bool, true for the tokens that stay."""
        try:
            return self._mask(video_embeds, video_size_thw, spatial_merge_size, q)
        except CropError as error:
            if self._original is None or isinstance(error, ArgumentError):
                raise
            _log.warning("crop: %s; the engine prunes this video by its own rule", error)
            return self._original(video_embeds, video_size_thw, spatial_merge_size, q)

    def _mask(self, embeds: Any, size: Any, merge: int, rate: float) -> Any:
        import torch

        frames, height, width = (int(side) for side in size)
        rows, columns = height // merge, width // merge
        if len(embeds) != frames * rows * columns:
            raise ArgumentError(f"{len(embeds)} tokens of a video of {frames} x {rows} x {columns}")
        count = keep_count(len(embeds), rows * columns, rate)
        tensors: dict[str, Any] = {"image_features": embeds}
        if self._reads_text():
            if _question is None:
                raise ArgumentError(
                    f"method '{self._method}' needs the question, which the engine does not hand to the function that prunes "
                    f"videos: give it with crop_client.engines.question(...) in process {os.getpid()}, or choose a method that "
                    "needs image_features alone")
            tensors["text_features"] = _question
        answer = self._client.prune(
            layout=layouts.video(frames, rows, columns), method=self._method, keep_tokens=count, **tensors, **self._arguments)
        kept = torch.as_tensor(answer.kept_indices, device=embeds.device)
        if len(kept) != count:
            raise ArgumentError(f"{len(kept)} tokens were kept where the engine has reserved {count} places")
        mask = torch.zeros(len(embeds), dtype=torch.bool, device=embeds.device)
        mask[kept] = True
        return mask

    def _reads_text(self) -> bool:
        if self._needs_text is None:
            methods = {method["name"]: method for method in self._client.methods()}
            if self._method not in methods:
                raise ArgumentError(f"the service has no method '{self._method}'; it has {', '.join(methods)}")
            required = set(methods[self._method]["required_inputs"])
            if not required <= {"image_features", "text_features"}:
                raise ArgumentError(f"method '{self._method}' needs {', '.join(sorted(required))}; here are features of tokens alone")
            self._needs_text = "text_features" in required
        return self._needs_text


def register_vllm() -> None:
    """The entry point of vLLM; it calls this in every process it starts."""
    _register("vllm", "vllm.multimodal.video_prune.evs", "vllm.model_executor.models.")


def register_sglang() -> None:
    """The entry point of SGLang; it calls this in every process it starts.

    SGLang logs the exceptions of plug-ins and goes on, which would mean pruning by another rule than the one asked for;
    so what is wrong ends the process.
    """
    try:
        _register("sglang", "sglang.srt.multimodal.evs.evs_core", "sglang.srt.")
    except Exception as error:
        raise SystemExit(f"crop: {error}") from error


def _register(engine: str, home: str, users: str) -> None:
    settings = os.environ
    if "CROPCLIENT_URL" not in settings:
        return
    on_failure = settings.get("CROPCLIENT_ON_FAILURE", "raise")
    if on_failure not in ("raise", "original"):
        raise ArgumentError(f"CROPCLIENT_ON_FAILURE={on_failure} is neither raise nor original")
    client = Client(settings["CROPCLIENT_URL"], api_key=settings.get("CROPCLIENT_API_KEY") or None)
    replace(engine, importlib.import_module(home), users, client, settings, on_failure == "original")


def replace(
    engine: str, module: Any, users: str, client: Client, settings: Mapping[str, str], falls_back: bool
) -> RetentionMask:
    """Puts a `RetentionMask` in the place of the engine's function, also where modules have imported it by name already."""
    original = getattr(module, _FUNCTION, None)
    if isinstance(original, RetentionMask):
        return original
    if original is None or list(inspect.signature(original).parameters) != _PARAMETERS:
        raise RuntimeError(
            f"crop: {module.__name__} of this {engine} has no {_FUNCTION}({', '.join(_PARAMETERS)}); this plug-in knows vLLM 0.33 "
            "and SGLang 0.5.23. Unset CROPCLIENT_URL to run without it")
    mask = RetentionMask(client, settings.get("CROPCLIENT_METHOD", "evs"), original if falls_back else None)
    for name, loaded in list(sys.modules.items()):
        if loaded is module or name.startswith(users):
            # VidCom2 has a function of the same name, which stays.
            for attribute, value in list(vars(loaded).items()):
                if value is original:
                    setattr(loaded, attribute, mask)
    _log.info("crop: %s prunes videos by %s at %s", engine, mask._method, settings.get("CROPCLIENT_URL", "a client"))
    return mask


def prune_embeds(client: Client, image_features: Any, **arguments: Any) -> Any:
    """-> [K, D], the rows of an image's features [N, D] that stay, for vLLM's `{"image": embeds}` with `enable_mm_embeds`.

    For models whose number of places is that of the rows given (LLaVA and its kind). `arguments` are those of `Client.prune`;
    here the question is at hand, so every method may be used. Send a `uuid` that contains the question with it, since vLLM
    keeps encoded images by theirs.
    """
    if len(image_features.shape) != 2:
        raise ArgumentError(f"image_features: {list(image_features.shape)} is not [N, D], the tokens of one image")
    answer = client.prune(image_features=image_features, **arguments)
    return image_features[answer.kept_indices]
