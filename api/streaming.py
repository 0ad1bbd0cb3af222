"""The pieces of an answer as they come → server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, TypeVar

import anyio.to_thread
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


async def ask_events(pieces: Iterator[Piece]) -> AsyncIterator[bytes]:
    """Events `hits`, `delta`, `answer`, `error`, `done`; `done` comes last, whatever happens."""
    try:
        async for piece in pieces_from_thread(pieces):
            yield PING if piece is None else _event_of(piece)
    except RagError as error:
        yield _event("error", rag_error_body(error))
    except Exception as error:
        error_id = log_unknown_error(error)
        body = error_body("internal", status_and_message("internal")[1], {"id": error_id})
        yield _event("error", body)
    yield _event("done", {})


async def pieces_from_thread(
    pieces: Iterator[T], silence_seconds: float | None = None
) -> AsyncIterator[T | None]:
    """The pieces, each waited for in a thread; None when there was none for `silence_seconds`
    (otherwise `PING_SECONDS`).

    If the reader goes away, the iterator is closed as soon as its thread is back.
    """
    end = object()
    waiting: asyncio.Future[Any] | None = None
    try:
        while True:
            if waiting is None:
                waiting = asyncio.ensure_future(anyio.to_thread.run_sync(next, pieces, end))
            done, _ = await asyncio.wait({waiting}, timeout=silence_seconds or PING_SECONDS)
            if not done:
                yield None
                continue
            piece, waiting = waiting.result(), None
            if piece is end:
                return
            yield piece
    finally:
        task = asyncio.ensure_future(_close(pieces, waiting))
        _closing.add(task)
        task.add_done_callback(_closing.discard)


async def _close(pieces: Iterator[T], waiting: asyncio.Future[Any] | None) -> None:
    if waiting is not None:
        await asyncio.wait({waiting})
        waiting.exception()
    close = getattr(pieces, "close", None)
    if close is not None:
        await anyio.to_thread.run_sync(close)


def _event_of(piece: Piece) -> bytes:
    if isinstance(piece, SearchResult):
        return _event("hits", SearchResponse.of(piece).model_dump())
    if isinstance(piece, Answer):
        return _event("answer", AskResponse.of(piece).model_dump())
    return _event("delta", {"text": piece})


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
