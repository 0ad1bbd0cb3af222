"""The Slack bot over a socket, against a stand-in that holds its other end."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from slack_sdk.web.async_client import AsyncWebClient

from api.slack import socket_runner
from api.slack.socket_mode import keep_alive
from rag.config import Settings
from rag.errors import ConfigError
from tests.fake_assistant import FakeAssistant
from tests.fake_slack import APP_TOKEN, BOT_USER, TOKEN, FakeSlack, shown_text, wait_until
from tests.servers import serving

CORPUS = Path(__file__).parents[1] / "corpus"
QUESTION = f"<@{BOT_USER}> SQSの可視性タイムアウトは何秒？"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    slack = FakeSlack()
    with serving(slack.api) as slack.url:
        yield slack


def settings_for(slack: FakeSlack, folder: Path, app_token: str = APP_TOKEN) -> Settings:
    return Settings(
        index=folder,
        slack_bot_token=SecretStr(TOKEN),
        slack_app_token=SecretStr(app_token),
        slack_api_url=f"{slack.url}/api/",
    )


async def with_bot(settings: Settings, then: Callable[[], Awaitable[None]]) -> None:
    """Runs the bot until `then` is over."""
    said: asyncio.Queue[str] = asyncio.Queue()
    bot = asyncio.create_task(socket_runner(settings)(FakeAssistant(), said.put_nowait))
    await asyncio.wait(
        {bot, told := asyncio.create_task(said.get())}, return_when="FIRST_COMPLETED"
    )
    told.cancel()
    if bot.done():
        return bot.result()
    await then()
    bot.cancel()
    await asyncio.gather(bot, return_exceptions=True)


def test_deliveries_over_a_socket_are_acknowledged_and_answered_once(
    slack: FakeSlack, tmp_path: Path
) -> None:
    event = slack.event(text=QUESTION)

    async def deliver() -> None:
        sent = [slack.send_over_socket(event), slack.send_over_socket(event, retry=1)]
        sent.append(slack.send_over_socket(slack.event(text=QUESTION, bot_id="BOTHER")))
        last = slack.event(type="message", channel="D1", channel_type="im", text="光合成の葉緑体")
        sent.append(slack.send_over_socket(last))
        await asyncio.to_thread(wait_until, lambda: len(slack.calls_of("reactions.remove")) == 2)
        assert sorted(ack["envelope_id"] for ack in slack.acknowledged) == sorted(sent)

    asyncio.run(with_bot(settings_for(slack, tmp_path), deliver))
    texts = {post["channel"]: shown_text(post) for post in slack.messages}
    assert len(slack.messages) == len(texts) == 2
    assert "既定で30秒" in texts["C1"]
    assert "葉緑体で光" in texts["D1"]


def test_a_token_that_slack_refuses_is_named(slack: FakeSlack, tmp_path: Path) -> None:
    async def nothing() -> None:
        raise AssertionError("it connected")

    settings = settings_for(slack, tmp_path, "xapp-wrong")
    with pytest.raises(ConfigError, match=r"refuses KOTAE_SLACK_APP_TOKEN \(invalid_auth\)"):
        asyncio.run(with_bot(settings, nothing))


def test_an_address_that_does_not_answer_is_named(tmp_path: Path) -> None:
    nobody = FakeSlack()
    nobody.url = "http://127.0.0.1:9"
    settings = settings_for(nobody, tmp_path)
    with pytest.raises(ConfigError, match=r"cannot reach http://127\.0\.0\.1:9/api/"):
        asyncio.run(with_bot(settings, lambda: asyncio.sleep(0)))


def test_an_idle_socket_is_kept_alive_whatever_slack_says(slack: FakeSlack) -> None:
    slack.fail_next("auth.test", 200, "internal_error")

    async def some_time() -> None:
        client = AsyncWebClient(token=TOKEN, base_url=f"{slack.url}/api/")
        alive = asyncio.create_task(keep_alive(client, seconds=0.01))
        await asyncio.to_thread(wait_until, lambda: len(slack.calls_of("auth.test")) >= 3)
        alive.cancel()

    asyncio.run(some_time())


@pytest.mark.slow
def test_the_program_answers_from_the_notes_until_it_is_stopped(
    slack: FakeSlack, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    note = shutil.copy(CORPUS / "aws" / "codedeploy.md", tmp_path / "notes")
    variables = {
        "KOTAE_SLACK_BOT_TOKEN": TOKEN,
        "KOTAE_SLACK_APP_TOKEN": APP_TOKEN,
        "KOTAE_SLACK_API_URL": f"{slack.url}/api/",
        "KOTAE_PUBLIC_URL": "https://notes.example",
    }
    folders = ["--corpus", str(tmp_path / "notes"), "--index", str(tmp_path / "index")]
    program = subprocess.Popen(
        [sys.executable, "-c", "from rag.cli import main; main()", "slack", *folders],
        env=os.environ | variables,
    )
    try:
        question = "Lambdaのデプロイに失敗したとき、自動で元に戻すには？"
        slack.send_over_socket(slack.event(text=f"<@{BOT_USER}> {question}"))
        wait_until(lambda: len(slack.calls_of("reactions.remove")) == 1, seconds=120)
        (post,) = slack.messages
        spans = re.findall(
            r"<https://notes\.example/notes/codedeploy\.md\?start=(\d+)&amp;end=(\d+)&amp;check=[0-9a-f]{8}\|\[1\]>",
            shown_text(post),
        )
        start, end = map(int, spans[0])
        cited = Path(note).read_text(encoding="utf-8")[start:end]
        assert "CloudWatch アラーム" in cited
        (quote,) = re.findall("「(.*)」", shown_text(post))[:1]
        assert " ".join(cited.split()).startswith(quote.rstrip("…"))
    finally:
        program.send_signal(signal.SIGTERM)
        status = program.wait(timeout=20)
    assert status == 0
