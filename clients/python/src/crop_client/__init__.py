"""Client of `crop`, the service that prunes the visual tokens of vision-language models.

    from crop_client import Client, layouts
    kept = Client().prune(attention=row, layout=layouts.grid(24, 24), keep_ratio=0.25, method="fastv").kept_indices
    features = features[kept]
"""

from . import layouts
from ._async import AsyncClient
from ._client import Client
from ._shared import shared_empty
from .answers import (
    Answer, CompareAnswer, CompressAnswer, CropWarning, LocalizeAnswer, PlanAnswer, PruneAnswer, ReselectAnswer,
)  # fmt: skip
from .errors import (
    ArgumentError, ConnectionFailed, CropError, InvalidRequest, NotFound, Overloaded, ProblemError, ProtocolError,
    RequestTimeout, ServerError, Unauthorized,
)  # fmt: skip

__version__ = "0.1.0"
__all__ = [
    "Answer", "ArgumentError", "AsyncClient", "Client", "CompareAnswer", "CompressAnswer", "ConnectionFailed", "CropError",
    "CropWarning", "InvalidRequest", "LocalizeAnswer", "NotFound", "Overloaded", "PlanAnswer", "ProblemError", "ProtocolError",
    "PruneAnswer", "RequestTimeout", "ReselectAnswer", "ServerError", "Unauthorized", "layouts", "shared_empty",
]  # fmt: skip
