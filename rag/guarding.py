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


@dataclass(frozen=True, slots=True)
class _End:
    """What the thread says last: the error that ended it, if any."""

    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Pump:
    """Fetches pieces until the end, or until the reader has gone away."""

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
    start: Callable[[], Iterator[str]], silence_seconds: float, max_chars: int
) -> Iterator[str]:
    """The non-empty pieces of `start()`; raises GeneratorError past a limit, and for any failure.

    An empty piece is no text but a sign of life. When this iterator is closed, so is the other,
    as soon as it gives its next piece.
    """
    pump = _Pump()
    threading.Thread(target=pump.run, args=(start,), daemon=True, name="answer-model").start()
    deadline = time.monotonic() + silence_seconds * WHOLE_FACTOR
    written = 0
    try:
        while True:
            piece = _next(pump, min(silence_seconds, deadline - time.monotonic()))
            if isinstance(piece, _End):
                if piece.error is not None:
                    raise _as_generator_error(piece.error)
                return
            written += len(piece)
            if written > max_chars:
                raise GeneratorError(
                    f"the answer is longer than {max_chars} characters", "too_long"
                )
            if piece:
                yield piece
    finally:
        pump.stopped.set()


def _next(pump: _Pump, seconds: float) -> str | _End:
    try:
        return pump.waiting.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise GeneratorError(f"no answer within {seconds:.0f} seconds", "timeout") from None


def _as_generator_error(error: Exception) -> GeneratorError:
    if isinstance(error, GeneratorError):
        return error
    told = str(error) if isinstance(error, RagError) else f"{type(error).__name__}: {error}"
    failure = GeneratorError(f"the answer model failed: {told}")
    failure.__cause__ = error
    return failure
