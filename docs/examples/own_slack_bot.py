"""A Slack bot of one's own: hands each mention to Kotae's POST /api/ask and posts what comes back.

Needs `pip install slack-bolt` and a running `kotae serve`; see docs/slack.md.
"""

from __future__ import annotations

import json
import os
import re
import urllib.request
from typing import Any

from slack_bolt import App, Say
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient


def ask(kotae_url: str, question: str) -> dict[str, Any]:
    """The answer to a question, as POST /api/ask gives it."""
    request = urllib.request.Request(
        f"{kotae_url}/api/ask",
        data=json.dumps({"question": question}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def answer_text(answer: dict[str, Any], kotae_url: str) -> str:
    """The statements with their [n], then each cited place as a link; a refusal is just that."""
    lines = [escape(answer["answer"])]
    for cited in answer["citations"]:
        place = escape(" › ".join([cited["title"], *cited["headings"]]))
        lines.append(f"[{cited['number']}] <{escape(kotae_url + cited['url'])}|{place}>")
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text that Slack shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def create_bot(client: WebClient, kotae_url: str) -> App:
    """The bot, answering mentions in their thread."""
    app = App(client=client)

    @app.event("app_mention")
    def answer_mention(event: dict[str, Any], say: Say) -> None:
        question = re.sub(r"<@\w+>", "", event["text"]).strip()
        text = answer_text(ask(kotae_url, question), kotae_url)
        say(text=text, thread_ts=event.get("thread_ts") or event["ts"])

    return app


if __name__ == "__main__":
    bot = create_bot(
        WebClient(token=os.environ["SLACK_BOT_TOKEN"]),
        os.environ.get("KOTAE_URL", "http://127.0.0.1:8000"),
    )
    SocketModeHandler(bot, os.environ["SLACK_APP_TOKEN"]).start()  # type: ignore[no-untyped-call]
