"""What the bot sends, at the pace that Slack allows: one post a second in a channel, in order."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import ClientConnectorError, ClientError
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from api.slack.blocks import SlackMessage

logger = logging.getLogger(__name__)

SECONDS_BETWEEN: Final = 1.0
MAX_ATTEMPTS: Final = 5
MAX_LANES: Final = 1000
_BLOCK_ERRORS: Final = {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"}


@dataclass(slots=True)
class Lane:
    """What Slack limits together, one method in one channel: senders go one by one, in order."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at: float = 0.0

    def is_free(self) -> bool:
        """Whether a message would go out at once."""
        return not self.lock.locked() and self.free_at <= time.monotonic()


class Outbox:
    """Sends messages; raises SlackApiError when Slack refuses one for good."""

    def __init__(self, client: AsyncWebClient, seconds_between: float = SECONDS_BETWEEN) -> None:
        self._client = client
        self._seconds_between = seconds_between
        self._lanes: dict[tuple[str, str], Lane] = {}

    def is_free(self, method: str, channel: str) -> bool:
        """Whether the channel's turn is now."""
        return self._lane(method, channel).is_free()

    async def post(self, channel: str, thread_ts: str, message: SlackMessage) -> str:
        """Posts into a thread; gives the new message's time stamp."""
        arguments = {"channel": channel, "thread_ts": thread_ts}
        no_previews = {"unfurl_links": False, "unfurl_media": False}
        sent = await self._send_message("chat.postMessage", message, arguments | no_previews)
        return str(sent["ts"])

    async def update(self, channel: str, message_ts: str, message: SlackMessage) -> None:
        """Puts another message in its place."""
        await self._send_message("chat.update", message, {"channel": channel, "ts": message_ts})

    async def react(self, method: str, channel: str, message_ts: str, name: str) -> None:
        """`add` or `remove` a reaction; not being able to is no failure."""
        arguments = {"channel": channel, "timestamp": message_ts, "name": name}
        try:
            await self._client.api_call(f"reactions.{method}", json=arguments)
        except (SlackApiError, ClientError, TimeoutError) as error:
            logger.info("reactions.%s: %s", method, error)

    async def _send_message(
        self, method: str, message: SlackMessage, arguments: dict[str, Any]
    ) -> AsyncSlackResponse:
        plain = arguments | {"text": message.text}
        try:
            return await self._send(method, plain | {"blocks": list(message.blocks)})
        except SlackApiError as error:
            # Better a plain answer than none.
            if error.response.get("error") not in _BLOCK_ERRORS:
                raise
            logger.error("%s: %s, sent as text", method, error.response.get("error"))
            return await self._send(method, plain | {"blocks": []})

    async def _send(self, method: str, arguments: dict[str, Any]) -> AsyncSlackResponse:
        lane = self._lane(method, str(arguments["channel"]))
        async with lane.lock:
            for attempt in range(1, MAX_ATTEMPTS + 1):
                await asyncio.sleep(lane.free_at - time.monotonic())
                wait = self._seconds_between
                try:
                    return await self._client.api_call(method, json=arguments)
                except (SlackApiError, ClientConnectorError) as error:
                    seconds = _seconds_to_wait(error, attempt)
                    if seconds is None or attempt == MAX_ATTEMPTS:
                        raise
                    logger.warning("%s: again in %s s: %s", method, seconds, error)
                    wait = seconds
                finally:
                    # Counted from the reply: how long a message was under way is not known here.
                    lane.free_at = time.monotonic() + wait
        raise RuntimeError("the last attempt returns or raises")

    def _lane(self, method: str, channel: str) -> Lane:
        if len(self._lanes) >= MAX_LANES:
            self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.is_free()}
        return self._lanes.setdefault((method, channel), Lane())


def _seconds_to_wait(error: SlackApiError | ClientConnectorError, attempt: int) -> float | None:
    """Before the next attempt; None when there should be none."""
    if isinstance(error, ClientConnectorError):
        return float(2**attempt)  # nothing reached Slack, so nothing is said twice
    if error.response.status_code == 429:
        return float(error.response.headers.get("Retry-After", 1))
    return None
