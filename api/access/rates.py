"""How often one key or one address may ask: token buckets, in bounded memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

MAX_BUCKETS: Final = 10_000
"""More callers than these, and the one longest silent is forgotten, which fills its bucket."""
_NETWORK_BITS: Final = 64
"""One subscriber of IPv6 has at least so large a network: an address of it is no caller."""


class RateLimit:
    """So many requests a minute for each caller, as many at once; 0 means without limit."""

    def __init__(self, per_minute: float) -> None:
        self._per_second = per_minute / 60
        self._size = max(per_minute, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_until_free(self, caller: str) -> int:
        """0 when the caller may ask, and may again; else how long it has to wait."""
        left = self._left(caller)
        if not self._per_second or left >= 1:
            return 0
        return math.ceil((1 - left) / self._per_second)

    def take(self, caller: str) -> int:
        """`seconds_until_free`; a request that may come is counted."""
        wait = self.seconds_until_free(caller)
        if self._per_second and not wait:
            self._buckets[caller] = (self._left(caller) - 1, time.monotonic())
            self._buckets.move_to_end(caller)
            while len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._buckets)

    def _left(self, caller: str) -> float:
        left, at = self._buckets.get(caller, (self._size, 0.0))
        return min(self._size, left + (time.monotonic() - at) * self._per_second)


def caller_of(address: str) -> str:
    """The caller an address belongs to: itself, or its network for IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> _NETWORK_BITS << _NETWORK_BITS))
    return str(parsed)
