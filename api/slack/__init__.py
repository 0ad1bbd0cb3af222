"""The Slack bot: cited answers in threads; needs the extra `slack`, but only once it is set up."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from api.answering import Answering, Readiness
from api.feedback import FeedbackStore
from api.metrics import Metrics
from rag.config import Settings
from rag.errors import ConfigError

if TYPE_CHECKING:
    from api.slack.service import SlackService

SocketRunner = Callable[[Answering, Callable[[str], None]], Coroutine[Any, Any, None]]
"""Given the assistant and what tells the user that it is connected."""

_PACKAGES: Final = {"slack_bolt", "slack_sdk", "aiohttp"}
_PREFIXES: Final = {"slack_bot_token": "xoxb-", "slack_app_token": "xapp-"}


def open_slack_events(
    settings: Settings, readiness: Readiness, feedback: FeedbackStore, metrics: Metrics
) -> SlackService | None:
    """The bot for deliveries over HTTP; None when token or signing secret are not set."""
    if not (settings.slack_bot_token and settings.slack_signing_secret):
        return None
    return open_slack(settings, readiness, feedback, metrics)


def open_slack(
    settings: Settings, readiness: Readiness, feedback: FeedbackStore, metrics: Metrics
) -> SlackService:
    """The bot; raises ConfigError when its token or the extra is missing."""
    check_token(settings, "slack_bot_token")
    with _extra_installed():
        from api.slack.service import SlackService
    return SlackService(settings, readiness, feedback, metrics)


def socket_runner(settings: Settings) -> SocketRunner:
    """What answers over a socket until it is cancelled; raises ConfigError as `open_slack` does."""
    for name in _PREFIXES:
        check_token(settings, name)
    with _extra_installed():
        from api.slack.socket_mode import run_socket_mode
    return partial(run_socket_mode, settings)


@contextmanager
def _extra_installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        raise ConfigError(
            f"the Slack bot needs {error.name}, which is not installed: pip install 'kotae[slack]'"
        ) from error


def check_token(settings: Settings, name: str) -> str:
    """The token of that setting; raises ConfigError, which does not show it."""
    value = getattr(settings, name)
    prefix = _PREFIXES[name]
    token = value.get_secret_value().strip() if value else ""
    if not token.startswith(prefix):
        found = "is not set" if not token else f"does not start with {prefix}"
        raise ConfigError(f"KOTAE_{name.upper()} {found}; docs/slack.md tells where Slack shows it")
    return token
