"""Questions at work: so many at once and in wait, each with a time limit and a client that waits.

Answers of a model have slots of their own: one that hangs holds up neither searches nor the
answers taken from the notes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Final, Literal, TypeVar, cast

from fastapi import Depends, Request

from api.answering import Answering
from api.errors import BusyError, ClientGoneError, QuestionTimeoutError
from api.metrics import Metrics
from api.streaming import pieces_from_thread
from rag.config import Settings
from rag.extraction import EXTRACTIVE

Kind = Literal["notes", "model", "agents"]
"""Searches and answers taken from the notes; answers of a model; what comes over /mcp."""

MAX_RETRY_SECONDS: Final = 30

T = TypeVar("T")


class Slots:
    """Places at work; who finds none waits, so many and so long, and is then told to come again."""

    def __init__(
        self, kind: Kind, at_work: int, waiting: int, wait_seconds: float, metrics: Metrics
    ) -> None:
        self.kind = kind
        self._metrics = metrics
        self.at_work = 0
        self.waiting = 0
        self._free = asyncio.Semaphore(at_work)
        self._max_waiting = waiting
        self._wait_seconds = wait_seconds

    async def take(self) -> None:
        """Returns with a slot, which `give_back` must free; raises BusyError without one."""
        if self._free.locked() and self.waiting >= self._max_waiting:
            raise self._busy()
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise self._busy() from None
        finally:
            self.waiting -= 1
        self.at_work += 1

    def give_back(self) -> None:
        """Frees a slot for who waits longest."""
        self.at_work -= 1
        self._free.release()

    def _busy(self) -> BusyError:
        self._metrics.rejected.labels("busy").inc()
        retry_seconds = min(MAX_RETRY_SECONDS, 1 + self.waiting // max(self.at_work, 1))
        return BusyError(
            f"{self.at_work} at work, {self.waiting} waiting ({self.kind})", retry_seconds
        )


class QuestionDesk:
    """Gives questions their slots and takes these back when their work has really ended."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        sizes: dict[Kind, int] = {
            "notes": settings.questions_at_work,
            "model": settings.model_answers_at_work,
            "agents": settings.questions_at_work,
        }
        self._slots = {
            kind: Slots(kind, size, settings.questions_waiting, settings.queue_seconds, metrics)
            for kind, size in sizes.items()
        }
        self._question_seconds = settings.question_timeout_seconds
        for kind, slots in self._slots.items():
            metrics.watch_slots(kind, slots)

    @asynccontextmanager
    async def slot(self, kind: Kind) -> AsyncIterator[None]:
        """A slot for as long as the context lasts; raises BusyError."""
        await self._slots[kind].take()
        try:
            yield
        finally:
            self._slots[kind].give_back()

    async def attend(self, kind: Kind, pieces: Iterator[T]) -> AsyncGenerator[T | None, None]:
        """The pieces as they come, None for a silence; raises BusyError, QuestionTimeoutError.

        The slot is free again when the thread at work on them is back, not before.
        """
        slots = self._slots[kind]
        until = time.monotonic() + self._question_seconds
        await slots.take()
        try:
            async with aclosing(
                pieces_from_thread(pieces, until=until, ended=slots.give_back)
            ) as coming:
                async for piece in coming:
                    yield piece
        except TimeoutError:
            raise QuestionTimeoutError(f"not done in {self._question_seconds:g} s") from None

    async def only(self, kind: Kind, work: Iterator[T]) -> T:
        """The one piece that `work` gives; raises as `attend` does."""
        async with aclosing(self.attend(kind, work)) as pieces:
            async for piece in pieces:
                if piece is not None:
                    return piece
        raise RuntimeError("nothing came of the work")


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """What `work` gives; when the client goes away first, the work stops: ClientGoneError."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError("the client has gone away")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def kind_of(assistant: Answering, model: str | None) -> Kind:
    """Which slots an answer by that model, or the default one, takes."""
    return "notes" if (model or assistant.models[0]) == EXTRACTIVE else "model"


async def current_desk(request: Request) -> QuestionDesk:
    """The desk of the application that got the request."""
    return cast(QuestionDesk, request.app.state.desk)


CurrentDesk = Annotated[QuestionDesk, Depends(current_desk)]
