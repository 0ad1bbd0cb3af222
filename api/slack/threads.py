"""The threads the bot talks in, and what was asked in each: the history of a follow-up.

Kept in memory only, questions without the names of who asked them, and forgotten after a day.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from api.schemas import MAX_HISTORY

MAX_THREADS: Final = 1000
TTL_SECONDS: Final = 24 * 3600.0

ThreadKey = tuple[str, str, str]
"""Team, channel, time stamp of the thread's first message."""


@dataclass(slots=True)
class Thread:
    """Questions by the time stamp of their message, which Slack writes so that text order is time
    order."""

    used_at: float
    questions: dict[str, str] = field(default_factory=dict)


class ThreadStore:
    """At most `max_threads`; the one not used for longest goes first."""

    def __init__(
        self,
        max_threads: int = MAX_THREADS,
        ttl_seconds: float = TTL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_threads = max_threads
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._threads: OrderedDict[ThreadKey, Thread] = OrderedDict()

    def __contains__(self, key: ThreadKey) -> bool:
        self._forget()
        return key in self._threads

    def add(self, key: ThreadKey, message_ts: str, question: str) -> tuple[str, ...]:
        """Adds a question to its thread; gives those asked before it, oldest first.

        Deliveries may come out of order, so before means by the messages' own time stamps.
        """
        self._forget()
        thread = self._threads.setdefault(key, Thread(0.0))
        thread.used_at = self._clock()
        self._threads.move_to_end(key)
        earlier = [thread.questions[ts] for ts in sorted(thread.questions) if ts < message_ts]
        thread.questions[message_ts] = question
        while len(thread.questions) > MAX_HISTORY:
            del thread.questions[min(thread.questions)]
        self._forget()
        return tuple(earlier)

    def _forget(self) -> None:
        oldest_allowed = self._clock() - self._ttl_seconds
        while self._threads:
            key, thread = next(iter(self._threads.items()))
            if len(self._threads) <= self._max_threads and thread.used_at > oldest_allowed:
                return
            del self._threads[key]
