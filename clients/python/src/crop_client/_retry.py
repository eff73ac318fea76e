"""When to send a request again, and how long to wait before. Requests are pure, so any of them may be repeated."""

from __future__ import annotations

import email.utils
import random
import time
from typing import Mapping, Optional

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


def retry_after(fields: Mapping[str, str]) -> Optional[float]:
    """-> the seconds that `Retry-After` asks for, given as seconds or as a date (RFC 9110, 10.2.3)."""
    value = fields.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    if not value:
        return None
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def pause(attempt: int, wanted: Optional[float], left: float) -> Optional[float]:
    """-> seconds to wait before another attempt (0 for the first), or None where the time left does not allow it.

    Without `Retry-After` pauses double from 50 ms to two seconds; both are spread, so that clients that were rejected
    together do not return together.
    """
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt, 9))
    seconds = longest * random.uniform(0.5, 1.0) if wanted is None else wanted + random.uniform(0, 0.1 * wanted)
    return seconds if seconds < left else None
