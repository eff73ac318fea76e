"""How a typed program uses the client; mypy reads it, nobody runs it. Each `type: ignore` is an error mypy must find."""

from typing import Optional

import numpy as np

from crop_client import AsyncClient, Client, PruneAnswer, layouts


def keep(client: Client, row: "np.ndarray[tuple[int, ...], np.dtype[np.float16]]") -> int:
    answer: PruneAnswer = client.prune(attention=row, layout=layouts.grid(24, 24), keep_ratio=0.25, method="fastv")
    client.prune(attention=row, layout=layouts.grid(24, 24), keep_ration=0.25)  # type: ignore[call-arg]
    client.prune(attention=row, layout=layouts.grid(24, 24), keep_tokens="64")  # type: ignore[arg-type]
    client.reselect(attention=row, layout=layouts.grid(24, 24), previous=answer, max_swaps="8")  # type: ignore[arg-type]
    client.compare(attention=row, layout=layouts.grid(24, 24), methods="fastv", keep_tokens=[64])  # type: ignore[arg-type]
    client.plan(layout=layouts.grid(24, 24), attention=row)  # type: ignore[call-arg]
    return sum(one.keep_tokens for one in answer.per_image)


async def find(client: AsyncClient, row: "list[float]") -> bool:
    answer = await client.localize(attention=row, layout=[layouts.raw(4)])
    answer.kept_indices  # type: ignore[attr-defined]
    return answer.whole_image


def maybe(client: Client, row: "list[float]", ratio: Optional[float], count: Optional[int], method: Optional[str]) -> "list[int]":
    """What a caller may or may not have is passed on as it is."""
    answer = client.prune(attention=row, layout=layouts.raw(4), keep_ratio=ratio, keep_tokens=count, method=method, timeout=ratio,
                          region=None, axes=None, request_id=None)
    client.plan(layout=layouts.raw(4), keep_ratio=ratio, stages=None)
    client.localize(attention=row, layout=layouts.grid(2, 2), localize=None, seed=count)
    client.prune(attention=row, layout=layouts.raw(4), keep_tokens=ratio)  # type: ignore[arg-type]
    delta: Optional[int] = answer.mrope_position_delta
    found: int = answer.mrope_position_delta  # type: ignore[assignment]
    return [found, delta or 0]
