"""`kotae slack`: the bot over a socket that it opens itself, so that no address need be public."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiohttp import ClientError
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from api.answering import Answering, Readiness
from api.feedback import FeedbackStore
from api.following import Follower
from api.metrics import Metrics
from api.slack import check_token, open_slack
from rag.config import Settings
from rag.errors import ConfigError

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS: Final = 60.0
"""A socket that nothing happens on may go silent: https://github.com/slackapi/bolt-python/issues/417
"""


async def run_socket_mode(
    settings: Settings, assistant: Answering, say: Callable[[str], None]
) -> None:
    """Answers until cancelled or terminated; raises ConfigError when Slack refuses a token.

    Says so once questions reach it.
    """
    app_token = check_token(settings, "slack_app_token")
    readiness = Readiness(assistant)
    service = open_slack(settings, readiness, FeedbackStore(settings.index), Metrics())
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with service:
        name = await _check_tokens(service.client, app_token)
        handler = AsyncSocketModeHandler(service.bolt, app_token)
        try:
            await handler.connect_async()  # type: ignore[no-untyped-call]
            say(f"Kotae → Slack, @{name}  (Ctrl+C で終了 / to stop)")
            with Follower(settings, readiness):
                await keep_alive(service.client)
        finally:
            await handler.close_async()  # type: ignore[no-untyped-call]


async def keep_alive(client: AsyncWebClient, seconds: float = KEEP_ALIVE_SECONDS) -> None:
    """Asks Slack for something small again and again, for ever."""
    while True:
        await asyncio.sleep(seconds)
        with suppress(SlackApiError, ClientError, TimeoutError):
            await client.auth_test()


async def _check_tokens(client: AsyncWebClient, app_token: str) -> str:
    """The bot's name. The socket's client would try a wrong token for ever, so it is tried here."""
    try:
        setting = "KOTAE_SLACK_BOT_TOKEN"
        name = (await client.auth_test())["user"]
        setting = "KOTAE_SLACK_APP_TOKEN"
        await client.apps_connections_open(app_token=app_token)
    except SlackApiError as error:
        reason = error.response.get("error")
        raise ConfigError(f"Slack refuses {setting} ({reason}); see docs/slack.md") from error
    except (ClientError, TimeoutError) as error:
        raise ConfigError(f"cannot reach {client.base_url}: {error}") from error
    return str(name)
