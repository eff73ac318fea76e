"""How a typed program uses the client; mypy reads it, nobody runs it. Each `type: ignore` is an error mypy must find."""

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
