"""An event of Slack → the question it puts to the bot, if it puts one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.slack.threads import ThreadKey

_MARKUP: Final = re.compile(r"<([^<>]*)>")
_SOMEONE_FIRST: Final = re.compile(r"\s*<@(\w+)")


@dataclass(frozen=True, slots=True)
class SlackQuestion:
    """A person's message; `addressed` when it is meant for the bot wherever it stands.

    A message that is not is a question only in a thread that the bot talks in.
    """

    text: str
    team: str
    channel: str
    thread_ts: str
    message_ts: str
    addressed: bool

    @property
    def thread(self) -> ThreadKey:
        """Where it belongs, and where the answer goes."""
        return self.team, self.channel, self.thread_ts


def read_question(
    event: Mapping[str, Any], team: str, bot_user_id: str | None
) -> SlackQuestion | None:
    """The question in an `app_mention` or `message` event.

    None for what no person wrote to the bot: bots, the bot itself, edits, deletions, joins and
    other subtypes, talk outside its threads, and replies that open with someone else's name.
    """
    if not _from_a_person(event, bot_user_id):
        return None
    text, message_ts = event["text"], event["ts"]
    thread_ts = event.get("thread_ts") or message_ts
    addressed = event.get("type") == "app_mention" or event.get("channel_type") == "im"
    if not addressed:
        named = _SOMEONE_FIRST.match(text)
        if thread_ts == message_ts or (named and named[1] != bot_user_id):
            return None
    return SlackQuestion(
        plain_question(text), team, event["channel"], thread_ts, message_ts, addressed
    )


def plain_question(text: str) -> str:
    """What was typed: links and channels by their label, no mentions, no escapes."""

    def plain(found: re.Match[str]) -> str:
        target, _, label = found[1].partition("|")
        if target.startswith(("@", "!")):
            return " "
        if target.startswith("#"):
            return f"#{label}"
        return label or target

    shown = _MARKUP.sub(plain, text)
    for escaped, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        shown = shown.replace(escaped, character)
    return shown.strip()


def _from_a_person(event: Mapping[str, Any], bot_user_id: str | None) -> bool:
    if event.get("subtype") or event.get("bot_id") or event.get("bot_profile"):
        return False
    user = event.get("user")
    if not user or user in ("USLACKBOT", bot_user_id):
        return False
    return all(isinstance(event.get(name), str) for name in ("text", "ts", "channel"))
