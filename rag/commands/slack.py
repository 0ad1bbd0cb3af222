"""`kotae slack`: answers in Slack."""

from __future__ import annotations

import argparse
from contextlib import suppress

from rag.commands.command import Command
from rag.commands.opening import open_assistant, settings_of
from rag.commands.terminal import say


def run_slack(options: argparse.Namespace) -> int:
    """Indexes, then answers in Slack until stopped."""
    import asyncio

    from api.logs import set_up_logging
    from api.slack import socket_runner

    settings = settings_of(options)
    set_up_logging(settings)
    run = socket_runner(settings)  # what is missing shows before anything slow is done
    assistant = open_assistant(settings)
    with suppress(asyncio.CancelledError):  # SIGTERM
        asyncio.run(run(assistant, say))
    return 0


COMMAND = Command(
    name="slack",
    summary="answer in Slack, over a socket that needs no public address",
    details="KOTAE_SLACK_BOT_TOKEN and KOTAE_SLACK_APP_TOKEN must be set: docs/slack.md.",
    examples=("kotae slack --corpus ~/notes --index ~/.kotae-index",),
    run=run_slack,
)
