"""Questions from Slack → cited answers in their threads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Literal

from api.answering import Readiness
from api.errors import log_unknown_error
from api.feedback import FeedbackStore
from api.messages import PAGE_TEXTS, SLACK_TEXTS, status_and_message
from api.metrics import Metrics
from api.routes import watch_answer
from api.slack.blocks import SlackMessage, answer_messages, partial_message, text_message
from api.slack.deliveries import SeenDeliveries
from api.slack.outbox import Outbox
from api.slack.questions import SlackQuestion
from api.slack.threads import ThreadStore
from api.streaming import pieces_from_thread
from rag.errors import RagError
from rag.types import Answer

logger = logging.getLogger(__name__)

MAX_AT_WORK: Final = 4
"""Answers written at the same time; each takes a thread."""

MAX_PENDING: Final = 1000
"""Questions not answered yet; with more, Slack is asked to deliver again later."""

SHOW_SECONDS: Final = 1.5
"""An answer that takes longer is shown as it comes."""

SEEN: Final = "eyes"
FAILED: Final = "warning"

Show = Callable[[str], Awaitable[None]]


class SlackBot:
    """Answers each question once; all methods belong to one event loop."""

    def __init__(
        self,
        readiness: Readiness,
        feedback: FeedbackStore,
        metrics: Metrics,
        outbox: Outbox,
        public_url: str | None,
    ) -> None:
        self.seen = SeenDeliveries()
        self.threads = ThreadStore()
        self._readiness = readiness
        self._feedback = feedback
        self._metrics = metrics
        self._outbox = outbox
        self._public_url = public_url
        self._at_work = asyncio.Semaphore(MAX_AT_WORK)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """Questions that are being answered or wait for it."""
        return len(self._tasks)

    def hear(self, question: SlackQuestion, event_id: str) -> None:
        """Starts to answer in the question's thread; does nothing when it was heard before.

        A mention comes as two events, so the message counts as well as the event.
        """
        if not question.addressed and question.thread not in self.threads:
            return
        message = f"message {question.team} {question.channel} {question.message_ts}"
        if self.seen.take(f"event {event_id}", message):
            self._start(self._reply(question))

    def start_answer(
        self, question: str, send: Callable[[SlackMessage], Awaitable[object]]
    ) -> None:
        """Starts to answer a question that stands in no thread."""

        async def answer() -> None:
            for message in await self._messages_for(question, (), _show_nothing):
                await send(message)

        self._start(answer())

    async def keep_verdict(self, value: str) -> str:
        """Keeps what a button says, `good:ANSWER_ID`; gives the sentence for who pressed it."""
        verdict, _, answer_id = value.partition(":")
        kind: Literal["good", "bad"] = "good" if verdict == "good" else "bad"
        try:
            await asyncio.to_thread(self._feedback.save, answer_id, kind, None)
        except RagError as error:
            logger.error("a verdict is lost: %s", error)
            return status_and_message(error.code)[1]
        return SLACK_TEXTS[f"thanks_{kind}"]

    async def close(self, grace_seconds: float) -> None:
        """Finishes the answers that are begun within that time, and gives up the others."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # The loop itself holds tasks weakly: without this they may vanish half done.
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            log_unknown_error(error)

    async def _reply(self, question: SlackQuestion) -> None:
        history = self.threads.add(question.thread, question.message_ts, question.text)
        reply = LiveReply(self._outbox, question)
        seen = asyncio.create_task(reply.react("add", SEEN))
        try:
            await reply.finish(await self._messages_for(question.text, history, reply.show))
        except Exception as error:
            log_unknown_error(error)
            await reply.react("add", FAILED)
        await seen
        await reply.react("remove", SEEN)

    async def _messages_for(
        self, question: str, history: Sequence[str], show: Show
    ) -> list[SlackMessage]:
        """What to say: an answer, a refusal, or what went wrong."""
        if not question:
            return [text_message(SLACK_TEXTS["help"])]
        try:
            async with self._at_work:
                answer = await self._ask(question, history, show)
        except RagError as error:
            logger.info("no answer: %s", error)
            return [text_message(status_and_message(error.code)[1])]
        except Exception as error:
            number = PAGE_TEXTS["error_id"].format(id=log_unknown_error(error))
            return [text_message(f"{status_and_message('internal')[1]}\n{number}")]
        return answer_messages(answer, self._public_url)

    async def _ask(self, question: str, history: Sequence[str], show: Show) -> Answer:
        stream = self._readiness.assistant.stream(question, history=history)
        watched = watch_answer(stream, history, self._feedback, self._metrics)
        answer: Answer | None = None
        text = ""
        shown_at = time.monotonic()
        async for piece in pieces_from_thread(watched, SHOW_SECONDS):
            if isinstance(piece, Answer):
                answer = piece
            elif isinstance(piece, str):
                text += piece
            if answer is None and time.monotonic() - shown_at >= SHOW_SECONDS:
                await show(text)
                shown_at = time.monotonic()
        if answer is None:
            raise RuntimeError("the assistant's stream ended without an answer")
        return answer


class LiveReply:
    """The reply to one question: a slow answer is posted as far as it is written, then edited."""

    def __init__(self, outbox: Outbox, question: SlackQuestion) -> None:
        self._outbox = outbox
        self._question = question
        self._shown_ts: str | None = None

    async def react(self, method: Literal["add", "remove"], name: str) -> None:
        """Puts a reaction to the question, or takes it away."""
        await self._outbox.react(method, self._question.channel, self._question.message_ts, name)

    async def show(self, text: str) -> None:
        """Shows the answer so far, unless other answers wait for the channel."""
        method = "chat.update" if self._shown_ts else "chat.postMessage"
        if self._outbox.is_free(method, self._question.channel):
            await self._put(partial_message(text))

    async def finish(self, messages: Sequence[SlackMessage]) -> None:
        """Puts the answer in place of what was shown, or posts it; the rest is posted below."""
        first, *others = messages
        await self._put(first)
        for message in others:
            await self._post(message)

    async def _put(self, message: SlackMessage) -> None:
        if self._shown_ts is None:
            self._shown_ts = await self._post(message)
        else:
            await self._outbox.update(self._question.channel, self._shown_ts, message)

    async def _post(self, message: SlackMessage) -> str:
        return await self._outbox.post(self._question.channel, self._question.thread_ts, message)


async def _show_nothing(text: str) -> None:
    """For where a message cannot be edited."""
