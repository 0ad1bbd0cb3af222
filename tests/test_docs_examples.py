"""What the documentation hands out for Slack works: the manifest, and a bot of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from slack_bolt import App, BoltRequest
from slack_sdk import WebClient

from api import create_app
from api.slack.service import COMMAND
from rag.config import Settings
from tests.fake_assistant import FakeAssistant
from tests.fake_slack import BOT_USER, SECRET, TOKEN, FakeSlack, signed, wait_until
from tests.servers import serving

DOCS = Path(__file__).parents[1] / "docs"


def test_the_manifest_asks_for_what_the_bot_uses_and_for_no_more() -> None:
    manifest = yaml.safe_load((DOCS / "slack-manifest.yaml").read_text(encoding="utf-8"))
    events = manifest["settings"]["event_subscriptions"]["bot_events"]
    assert events == ["app_mention", "message.channels", "message.groups", "message.im"]
    assert [command["command"] for command in manifest["features"]["slash_commands"]] == [COMMAND]
    assert manifest["settings"]["interactivity"]["is_enabled"]
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == {
        *("app_mentions:read", "channels:history", "groups:history", "im:history"),
        *("chat:write", "commands", "reactions:write"),
    }


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    slack = FakeSlack()
    with serving(slack.api) as slack.url:
        yield slack


@pytest.fixture
def example() -> ModuleType:
    spec = spec_from_file_location("own_slack_bot", DOCS / "examples" / "own_slack_bot.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("SQSの可視性タイムアウトは何秒？", "既定で30秒"),
        ("月面の重力", "ノートに見つかりません。"),
    ],
)
def test_a_bot_of_ones_own_needs_only_post_api_ask(
    slack: FakeSlack,
    example: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    question: str,
    told: str,
) -> None:
    monkeypatch.setenv("SLACK_SIGNING_SECRET", SECRET)
    event = slack.event(text=f"<@{BOT_USER}> {question}")
    client = WebClient(token=TOKEN, base_url=f"{slack.url}/api/")
    with serving(create_app(Settings(index=tmp_path), FakeAssistant())) as kotae_url:
        bot: App = example.create_bot(client, kotae_url)
        request = signed(json.dumps(event))
        delivery = BoltRequest(body=request["content"].decode(), headers=request["headers"])
        assert bot.dispatch(delivery).status == 200
        wait_until(lambda: len(slack.posts) == 1)
    (post,) = slack.posts
    assert told in post["text"]
    assert post["thread_ts"] == event["event"]["ts"]
    assert (f"[1] <{kotae_url}/notes/aws/sqs.md?start=" in post["text"]) == ("SQS" in question)
