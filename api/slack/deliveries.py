"""Slack delivers at least once: which deliveries were taken already."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

TTL_SECONDS: Final = 3600.0
"""Slack delivers again at once, after one minute and after five."""

MAX_KEYS: Final = 20_000


class SeenDeliveries:
    """Remembers the keys of deliveries for a while; the oldest go first when there are too many."""

    def __init__(
        self,
        ttl_seconds: float = TTL_SECONDS,
        max_keys: int = MAX_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl_seconds = ttl_seconds
        self._max_keys = max_keys
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    def take(self, *keys: str) -> bool:
        """True the first time: none of the keys was taken before. All of them are from now on."""
        now = self._clock()
        self._forget(now)
        first = not any(key in self._seen for key in keys)
        for key in keys:
            self._seen.setdefault(key, now)
        return first

    def _forget(self, now: float) -> None:
        while self._seen:
            key, taken_at = next(iter(self._seen.items()))
            if len(self._seen) <= self._max_keys and now - taken_at < self._ttl_seconds:
                return
            del self._seen[key]
