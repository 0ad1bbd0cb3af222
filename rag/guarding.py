"""Stage 7: the pieces of an answer model as they come, within limits of time and size.

A model runs in a thread of its own, so that one that never comes back cannot hold up the answer.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rag.errors import GeneratorError, RagError

WHOLE_FACTOR = 5
"""The whole answer may take so many times as long as one silence."""
MAX_WAITING = 64
"""Pieces fetched ahead of the reader."""
STOP_SECONDS = 0.2
BEAT_SECONDS = 0.5
"""How soon a reader that has gone away is noticed while the model says nothing."""
MAX_THREADS = 32
"""Models at work, those included that nobody waits for any more but that do not come back."""


@dataclass(frozen=True, slots=True)
class _End:
    """What the thread says last: the error that ended it, if any."""

    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Pump:
    """Fetches pieces until the end, or until the reader has gone away."""

    threads: threading.Semaphore
    waiting: queue.Queue[str | _End] = field(default_factory=lambda: queue.Queue(MAX_WAITING))
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, start: Callable[[], Iterator[str]]) -> None:
        """Runs in the thread; closes the model's stream whatever happens."""
        error: Exception | None = None
        pieces: Iterator[str] | None = None
        try:
            pieces = start()
            for piece in pieces:
                if not self._put(piece):
                    break
        except Exception as raised:
            error = raised
        finally:
            if (close := getattr(pieces, "close", None)) is not None:
                close()
            self.threads.release()
            self._put(_End(error))

    def _put(self, item: str | _End) -> bool:
        while not self.stopped.is_set():
            try:
                self.waiting.put(item, timeout=STOP_SECONDS)
                return True
            except queue.Full:
                continue
        return False


def guard(
    start: Callable[[], Iterator[str]],
    silence_seconds: float,
    max_chars: int,
    threads: threading.Semaphore | None = None,
) -> Iterator[str]:
    """The pieces of `start()`; raises GeneratorError past a limit, and for any failure.

    `start` may give an empty piece as a sign of life. Here an empty piece says that the model is
    silent: a moment to close this iterator, and with it the other as soon as it is back.
    """
    threads = threads or threading.Semaphore(1)
    if not threads.acquire(blocking=False):
        raise GeneratorError("too many calls of answer models hang already", "busy")
    pump = _Pump(threads)
    threading.Thread(target=pump.run, args=(start,), daemon=True, name="answer-model").start()
    whole_until = time.monotonic() + silence_seconds * WHOLE_FACTOR
    until = time.monotonic() + silence_seconds
    written = 0
    try:
        while True:
            piece = _next(pump, min(until, whole_until))
            if isinstance(piece, _End):
                if piece.error is not None:
                    raise _as_generator_error(piece.error)
                return
            if piece is None:
                yield ""
                continue
            until = time.monotonic() + silence_seconds
            written += len(piece)
            if written > max_chars:
                raise GeneratorError(
                    f"the answer is longer than {max_chars} characters", "too_long"
                )
            if piece:
                yield piece
    finally:
        pump.stopped.set()


def _next(pump: _Pump, until: float) -> str | _End | None:
    """What comes next, None for a moment of silence; GeneratorError when there is none `until`."""
    left = until - time.monotonic()
    try:
        return pump.waiting.get(timeout=max(min(left, BEAT_SECONDS), 0.001))
    except queue.Empty:
        if left > BEAT_SECONDS:
            return None
        raise GeneratorError("no answer within the time it may take", "timeout") from None


def _as_generator_error(error: Exception) -> GeneratorError:
    if isinstance(error, GeneratorError):
        return error
    told = str(error) if isinstance(error, RagError) else f"{type(error).__name__}: {error}"
    failure = GeneratorError(f"the answer model failed: {told}")
    failure.__cause__ = error
    return failure
