"""Signed-in readers: an opaque cookie in the browser, what it stands for in memory alone."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from api.access.keys import ApiKey, digest_of

MAX_SESSIONS: Final = 1000
"""More, and the oldest ends."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who signed in, and until when it holds (of the monotonic clock)."""

    key: ApiKey
    ends_at: float


class SessionStore:
    """Sessions by the hash of their cookie: what is in memory opens nothing."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, key: ApiKey) -> str:
        """The cookie of a new session."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[digest_of(token)] = Session(key, time.monotonic() + self.seconds)
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return token

    def find(self, token: str) -> Session | None:
        """The session of a cookie, while it lasts."""
        with self._lock:
            session = self._sessions.get(digest_of(token))
        return session if session and session.ends_at > time.monotonic() else None

    def end(self, token: str) -> None:
        """Forgets a session; its cookie opens nothing any more."""
        with self._lock:
            self._sessions.pop(digest_of(token), None)
