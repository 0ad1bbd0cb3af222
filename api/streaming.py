"""The pieces of an answer as they come → server-sent events."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, Final, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi.responses import StreamingResponse

from api.errors import error_body, log_unknown_error, rag_error_body
from api.messages import status_and_message
from api.schemas import AskResponse, SearchResponse
from rag.errors import RagError
from rag.types import Answer, SearchResult

PING: Final = b": ping\n\n"
PING_SECONDS: Final = 15.0
"""Proxies close a connection that is silent for a minute."""

EVENT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["data"],
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
}
"""One server-sent event, for the OpenAPI document; `data` is JSON."""

Piece = SearchResult | str | Answer
T = TypeVar("T")

_closing: set[asyncio.Task[None]] = set()


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """A response of server-sent events that no proxy holds back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def ask_events(pieces: AsyncIterator[Piece | None]) -> AsyncIterator[bytes]:
    """Events `hits`, `delta`, `answer`, `error`, `done`; `done` comes last, whatever happens."""
    try:
        async for piece in pieces:
            yield PING if piece is None else _event_of(piece)
    except RagError as error:
        yield _event("error", rag_error_body(error))
    except Exception as error:
        error_id = log_unknown_error(error)
        body = error_body("internal", status_and_message("internal")[1], {"id": error_id})
        yield _event("error", body)
    yield _event("done", {})


async def pieces_from_thread(
    pieces: Iterator[T],
    silence_seconds: float = PING_SECONDS,
    until: float = math.inf,
    ended: Callable[[], None] = lambda: None,
) -> AsyncGenerator[T | None, None]:
    """The pieces, each waited for in a thread; None when there was none for `silence_seconds`.

    Empty text is passed over. Raises TimeoutError at `until`, of the monotonic clock. If the reader
    goes away, the iterator is closed as soon as its thread is back; then `ended` is called.
    """
    end = object()
    limiter = CapacityLimiter(1)  # a thread of its own, not one of those that all requests share
    waiting: asyncio.Future[Any] | None = None
    heard = time.monotonic()
    try:
        while time.monotonic() < until:
            if waiting is None:
                work = anyio.to_thread.run_sync(next, pieces, end, limiter=limiter)
                waiting = asyncio.ensure_future(work)
            patience = min(heard + silence_seconds, until) - time.monotonic()
            done, _ = await asyncio.wait({waiting}, timeout=max(patience, 0))
            piece: Any = ""
            if done:
                piece, waiting = waiting.result(), None
            if piece is end:
                return
            now = time.monotonic()
            if piece != "" or now >= heard + silence_seconds:
                heard = now
                yield None if piece == "" else piece
        raise TimeoutError
    finally:
        task = asyncio.ensure_future(_close(pieces, waiting, limiter, ended))
        _closing.add(task)
        task.add_done_callback(_closing.discard)


async def _close(
    pieces: Iterator[T],
    waiting: asyncio.Future[Any] | None,
    limiter: CapacityLimiter,
    ended: Callable[[], None],
) -> None:
    try:
        if waiting is not None:
            await asyncio.wait({waiting})
            waiting.exception()
        close = getattr(pieces, "close", None)
        if close is not None:
            await anyio.to_thread.run_sync(close, limiter=limiter)
    finally:
        ended()


def _event_of(piece: Piece) -> bytes:
    if isinstance(piece, SearchResult):
        return _event("hits", SearchResponse.of(piece).model_dump())
    if isinstance(piece, Answer):
        return _event("answer", AskResponse.of(piece).model_dump())
    return _event("delta", {"text": piece})


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
