"""Slack's side of the application: what it delivers over HTTP or a socket → the bot."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from json import JSONDecodeError
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import SecretStr
from slack_bolt.adapter.starlette.async_handler import to_async_bolt_request, to_starlette_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.context.respond.async_respond import AsyncRespond
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from api.access.gate import SIGNED_ELSEWHERE
from api.answering import Readiness
from api.feedback import FeedbackStore
from api.messages import SLACK_TEXTS
from api.metrics import Metrics
from api.slack.blocks import VERDICT_ACTION, SlackMessage
from api.slack.bot import MAX_PENDING, SlackBot
from api.slack.outbox import Outbox
from api.slack.questions import plain_question, read_question
from rag.config import Settings

logger = logging.getLogger(__name__)

COMMAND: Final = "/kotae"
REQUEST_SECONDS: Final = 30


class SlackService:
    """The bot and its connections; used as `async with`, on the loop that it works on."""

    def __init__(
        self, settings: Settings, readiness: Readiness, feedback: FeedbackStore, metrics: Metrics
    ) -> None:
        self.client = AsyncWebClient(
            _secret(settings.slack_bot_token), base_url=settings.slack_api_url
        )
        public_url = settings.public_url.rstrip("/") if settings.public_url else None
        self.bot = SlackBot(readiness, feedback, metrics, Outbox(self.client), public_url)
        self.bolt = AsyncApp(
            name="kotae",
            client=self.client,
            # Without one every request over HTTP is refused; over a socket nothing is signed.
            signing_secret=_secret(settings.slack_signing_secret),
            before_authorize=self.ask_to_come_again_unless_able,
        )
        self._shutdown_seconds = settings.shutdown_seconds
        self._token_works = False
        listen(self.bolt, self.bot)

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        self.client.session = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.bot.close(self._shutdown_seconds)
        if self.client.session:
            await self.client.session.close()

    async def ask_to_come_again_unless_able(
        self, body: dict[str, Any], next_: Callable[[], Awaitable[None]]
    ) -> BoltResponse | None:
        """Middleware: 503 makes Slack deliver again later. Nothing was taken yet, so nothing is
        lost, whereas Bolt by itself drops a delivery when it cannot reach Slack."""
        asks = body.get("type") == "event_callback" or "command" in body
        if asks and not (self.bot.pending < MAX_PENDING and await self._check_token()):
            return BoltResponse(status=503)
        await next_()
        return None

    async def _check_token(self) -> bool:
        """Whether Slack knows the bot; asked until it says so."""
        if not self._token_works:
            try:
                await self.client.auth_test()
                self._token_works = True
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                logger.error("Slack does not take the bot's token: %s", error)
        return self._token_works

    def router(self) -> APIRouter:
        """The address that Slack delivers to."""
        router = APIRouter(include_in_schema=False)

        @router.post(SIGNED_ELSEWHERE)
        async def slack_events(request: Request) -> Response:
            body = await request.body()
            try:
                delivery = to_async_bolt_request(request, body)
            except (UnicodeDecodeError, JSONDecodeError):
                return Response(status_code=400)
            return to_starlette_response(await self.bolt.async_dispatch(delivery))

        return router


def listen(bolt: AsyncApp, bot: SlackBot) -> None:
    """Connects what Bolt has verified with the bot."""

    async def hear(event: dict[str, Any], body: dict[str, Any], context: AsyncBoltContext) -> None:
        question = read_question(event, body.get("team_id", ""), context.bot_user_id)
        if question:
            bot.hear(question, body.get("event_id", ""))

    bolt.event("app_mention")(hear)
    bolt.event("message")(hear)

    @bolt.command(COMMAND)
    async def answer_command(
        ack: AsyncAck, command: dict[str, Any], context: AsyncBoltContext
    ) -> None:
        if not bot.seen.take(f"command {command['trigger_id']}"):
            await ack()
            return
        question = plain_question(command.get("text", ""))
        await ack(text=SLACK_TEXTS["searching"] if question else SLACK_TEXTS["help"])
        if question:
            bot.start_answer(question, responder(command["response_url"]))

    @bolt.action(VERDICT_ACTION)
    async def keep_verdict(
        ack: AsyncAck, action: dict[str, Any], body: dict[str, Any], respond: AsyncRespond
    ) -> None:
        await ack()
        await respond(
            text=await bot.keep_verdict(action["value"]),
            response_type="ephemeral",
            replace_original=False,
            thread_ts=body.get("container", {}).get("thread_ts"),
        )


def responder(response_url: str) -> Callable[[SlackMessage], Awaitable[None]]:
    """Sends messages that only who gave the command sees."""
    client = AsyncWebhookClient(response_url, retry_handlers=[AsyncRateLimitErrorRetryHandler()])

    async def send(message: SlackMessage) -> None:
        sent = await client.send(
            text=message.text,
            blocks=list(message.blocks),
            response_type="ephemeral",
            replace_original=False,
        )
        if sent.status_code != 200:
            raise RuntimeError(f"Slack refuses an answer: {sent.status_code} {sent.body}")

    return send


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value else ""
