"""The Slack bot over HTTP: signed deliveries in, answers at a stand-in for Slack's Web API."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api import create_app
from api.messages import MESSAGES, PAGE_TEXTS, SLACK_TEXTS
from api.slack import bot as bot_module
from api.slack.bot import SlackBot
from api.slack.outbox import Outbox
from rag.config import Settings
from rag.errors import ConfigError
from tests.fake_assistant import FakeAssistant
from tests.fake_slack import (
    BOT_ID,
    BOT_USER,
    SECRET,
    TOKEN,
    FakeSlack,
    deliver,
    shown_text,
    signed,
    wait_until,
)
from tests.servers import serving

QUESTION = "SQSの可視性タイムアウトは何秒？"
MENTION = f"<@{BOT_USER}> {QUESTION}"


PACE_SECONDS = 0.05


@pytest.fixture(scope="module")
def workspace() -> Iterator[FakeSlack]:
    slack = FakeSlack()
    with serving(slack.api) as slack.url:
        yield slack


@pytest.fixture
def slack(workspace: FakeSlack) -> FakeSlack:
    workspace.calls, workspace.responses, workspace.failures = [], [], {}
    return workspace


@pytest.fixture(scope="module")
def assistant() -> FakeAssistant:
    return FakeAssistant()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slack")


@pytest.fixture(scope="module")
def app(workspace: FakeSlack, assistant: FakeAssistant, folder: Path) -> FastAPI:
    settings = Settings(
        index=folder,
        public_url="https://notes.example/",
        slack_bot_token=SecretStr(TOKEN),
        slack_signing_secret=SecretStr(SECRET),
        slack_api_url=f"{workspace.url}/api/",
    )
    with pytest.MonkeyPatch.context() as patch:
        quick = partial(Outbox, seconds_between=PACE_SECONDS)
        patch.setattr("api.slack.service.Outbox", quick)
        return create_app(settings, assistant)


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[httpx.Client]:
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


@pytest.fixture
def bot(app: FastAPI) -> SlackBot:
    bot: SlackBot = app.state.slack.bot
    return bot


def settle(client: httpx.Client, bot: SlackBot) -> None:
    """Waits until all that was taken is answered."""
    client.get("/healthz")  # Slack gets its 200 just before the bot hears of a delivery
    wait_until(lambda: bot.pending == 0)


def answered(client: httpx.Client, slack: FakeSlack, bot: SlackBot) -> list[dict[str, Any]]:
    settle(client, bot)
    return slack.messages


def test_a_mention_is_seen_at_once_and_answered_in_its_thread(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    event = slack.event(text=MENTION)
    assert deliver(client, event).status_code == 200
    (post,) = answered(client, slack, bot)
    ts = event["event"]["ts"]
    assert (post["channel"], post["thread_ts"]) == ("C1", ts)
    text = shown_text(post)
    assert "既定で30秒。受信したメッセージは、その間ほかのコンシューマーから見えない。" in text
    assert "<https://notes.example/notes/aws/sqs.md?start=" in text
    assert "|[1]>" in text
    assert "[1] <https://notes.example/notes/aws/sqs.md?start=" in text
    assert "|Amazon SQS › Amazon SQS › 可視性タイムアウト>\n「" in text
    assert [call.method for call in slack.calls if call.method.startswith("reactions")] == [
        "reactions.add",
        "reactions.remove",
    ]
    assert slack.calls_of("reactions.add")[0]["timestamp"] == ts
    assert post["text"].endswith("[2]")


def test_a_question_the_notes_do_not_hold_gets_the_nearest_notes(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    deliver(client, slack.event(text=f"<@{BOT_USER}> 月面の重力"))
    (post,) = answered(client, slack, bot)
    text = shown_text(post)
    assert text.startswith("ノートに見つかりません。")
    assert "近い内容のノート:\n• <https://notes.example/notes/" in text
    assert post["text"] == "ノートに見つかりません。"


def test_what_is_not_confirmed_looks_so(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    deliver(client, slack.event(text=f"{MENTION} 未確認"))
    (post,) = answered(client, slack, bot)
    text = shown_text(post)
    assert "⚠️ 最大は99時間です。（ノートでは未確認）<" in text
    assert PAGE_TEXTS["unconfirmed_notice"] in text


@pytest.mark.parametrize(
    ("why", "how"),
    [
        ("signed with another secret", {"secret": "another"}),
        ("six minutes old", {"ahead_seconds": -360}),
        ("six minutes ahead", {"ahead_seconds": 360}),
    ],
)
def test_what_slack_did_not_sign_just_now_is_refused(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot, why: str, how: dict[str, Any]
) -> None:
    ahead_seconds = how.pop("ahead_seconds", 0)
    at = time.time() + ahead_seconds
    request = signed(json.dumps(slack.event(text=MENTION)), at=at, **how)
    assert client.post("/slack/events", **request).status_code == 401, why
    assert answered(client, slack, bot) == []


def test_what_nobody_signed_or_someone_changed_is_refused(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    body = json.dumps(slack.event(text=MENTION))
    assert client.post("/slack/events", content=body).status_code == 401
    request = signed(body)
    request["content"] = body.replace("U1", "U2").encode()
    assert client.post("/slack/events", **request).status_code == 401
    assert answered(client, slack, bot) == []


@pytest.mark.parametrize("body", [b"\xff", b"{", b"payload={"])
def test_what_is_no_text_or_no_json_is_refused(client: httpx.Client, body: bytes) -> None:
    assert client.post("/slack/events", content=body).status_code == 400


def test_slacks_challenge_is_answered_only_when_signed(client: httpx.Client) -> None:
    challenge = {"type": "url_verification", "challenge": "3eZbrw1a"}
    assert "3eZbrw1a" in deliver(client, challenge).text
    assert client.post("/slack/events", json=challenge).status_code == 401


def test_a_delivery_counts_once_however_often_it_comes(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    event = slack.event(text=MENTION)
    request = signed(json.dumps(event))
    statuses = [client.post("/slack/events", **request).status_code for _ in range(2)]  # replayed
    for number in (1, 2, 3):
        statuses.append(deliver(client, event, retry=number).status_code)
        settle(client, bot)
    assert statuses == [200] * 5
    assert len(slack.posts) == 1


def test_a_retry_is_answered_when_the_first_attempt_was_lost(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    deliver(client, slack.event(text=MENTION), retry=1)
    assert len(answered(client, slack, bot)) == 1


@pytest.mark.parametrize("mention_first", [True, False])
def test_a_mention_that_also_comes_as_a_message_is_answered_once(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot, mention_first: bool
) -> None:
    first = slack.event(text=MENTION)
    deliver(client, first)
    settle(client, bot)
    second = slack.event(text=f"<@{BOT_USER}> 最大は？", thread_ts=first["event"]["ts"])
    for kind in ("app_mention", "message") if mention_first else ("message", "app_mention"):
        deliver(client, slack.event(**{**second["event"], "type": kind}))
        settle(client, bot)
    assert len(slack.posts) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"bot_id": "BOTHER"},
        {"bot_id": BOT_ID},
        {"user": BOT_USER},
        {"user": "USLACKBOT"},
        {"user": None},
        {"subtype": "bot_message"},
        {"type": "message", "channel_type": "im", "subtype": "message_changed"},
        {"type": "message", "channel_type": "im", "subtype": "message_deleted"},
        {"type": "message", "channel_type": "im", "bot_id": "BOTHER"},
        {"type": "message"},  # talk in a channel
        {"type": "message", "thread_ts": "1600000000.000001"},  # in a thread that is not the bot's
    ],
    ids=str,
)
def test_what_no_person_says_to_the_bot_is_ignored(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot, fields: dict[str, Any]
) -> None:
    assert deliver(client, slack.event(text=MENTION, **fields)).status_code == 200
    assert answered(client, slack, bot) == []


def test_a_direct_message_needs_no_mention(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    event = slack.event(type="message", channel="D1", channel_type="im", text=QUESTION)
    deliver(client, event)
    (post,) = answered(client, slack, bot)
    assert (post["channel"], post["thread_ts"]) == ("D1", event["event"]["ts"])


def test_follow_ups_in_a_thread_need_no_mention_and_know_what_was_asked(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot, assistant: FakeAssistant
) -> None:
    first = slack.event(text=MENTION)
    deliver(client, first)
    settle(client, bot)
    thread = {"type": "message", "thread_ts": first["event"]["ts"]}
    deliver(client, slack.event(text="<@U7> これ知ってた？", **thread))  # people among themselves
    deliver(client, slack.event(text="最大は？", ts="1700000900.000002", **thread))
    settle(client, bot)
    # Delivered late, but asked before the last one.
    deliver(client, slack.event(text="延ばせる？", ts="1700000900.000001", **thread))
    settle(client, bot)
    asked = [(question, history) for question, history, _, _ in assistant.asked[-3:]]
    assert asked == [(QUESTION, ()), ("最大は？", (QUESTION,)), ("延ばせる？", (QUESTION,))]
    assert {post["thread_ts"] for post in slack.posts} == {first["event"]["ts"]}


def test_a_mention_without_a_question_gets_help(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    deliver(client, slack.event(text=f"<@{BOT_USER}>"))
    assert shown_text(answered(client, slack, bot)[0]) == SLACK_TEXTS["help"]


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("モデル停止", MESSAGES["generator"][1]),
        ("未知の失敗", MESSAGES["internal"][1]),
        ("長" * 2001, MESSAGES["question"][1]),
    ],
)
def test_what_goes_wrong_is_said_in_the_thread(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot, question: str, sentence: str
) -> None:
    deliver(client, slack.event(text=f"<@{BOT_USER}> {question}"))
    (post,) = answered(client, slack, bot)
    assert shown_text(post).startswith(sentence)
    assert "ZeroDivision" not in json.dumps(post)


def test_a_slow_answer_is_shown_as_it_comes_and_edited_in_place(
    client: httpx.Client,
    slack: FakeSlack,
    bot: SlackBot,
    assistant: FakeAssistant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bot_module, "SHOW_SECONDS", 0.05)
    monkeypatch.setattr(assistant, "pause_seconds", 0.03)
    deliver(client, slack.event(text=MENTION))
    settle(client, bot)
    (post,) = slack.posts
    assert SLACK_TEXTS["writing"] in post["text"] or SLACK_TEXTS["searching"] in post["text"]
    *_, last = slack.calls_of("chat.update")
    assert "|[1]>" in shown_text(last)


def test_the_command_answers_only_who_gave_it(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    command = slack.command(QUESTION)
    assert deliver(client, command).text == SLACK_TEXTS["searching"]
    assert deliver(client, command).text == ""  # the same once more
    settle(client, bot)
    (response,) = slack.responses
    assert response["response_type"] == "ephemeral"
    assert "|[1]>" in shown_text(response)
    assert slack.posts == []
    assert deliver(client, slack.command("", "5.6.c")).text == SLACK_TEXTS["help"]


@pytest.mark.parametrize(("button", "verdict"), [("positive", "good"), ("negative", "bad")])
def test_buttons_keep_a_verdict_with_the_question(
    client: httpx.Client,
    slack: FakeSlack,
    bot: SlackBot,
    folder: Path,
    button: str,
    verdict: str,
) -> None:
    deliver(client, slack.event(text=MENTION))
    (post,) = answered(client, slack, bot)
    (element,) = post["blocks"][-1]["elements"]
    assert deliver(client, slack.press(element, f"{button}_button")).status_code == 200
    wait_until(lambda: len(slack.responses) == 1)
    assert slack.responses[0]["text"] == SLACK_TEXTS[f"thanks_{verdict}"]
    assert not slack.responses[0]["replace_original"]
    with sqlite3.connect(folder / "feedback.sqlite3") as connection:
        rows = connection.execute(
            "SELECT verdict, question FROM feedback ORDER BY rowid"
        ).fetchall()
    connection.close()
    assert rows[-1] == (verdict, QUESTION)


def test_a_limit_that_slack_names_is_kept_and_nothing_is_lost(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    slack.fail_next("chat.postMessage", 429, "ratelimited", {"Retry-After": "1"})
    for _ in range(2):
        deliver(client, slack.event(text=MENTION))
    settle(client, bot)
    times = [call.at for call in slack.calls if call.method == "chat.postMessage"]
    assert len(times) == 3
    assert times[1] - times[0] >= 1
    assert times[2] - times[1] >= PACE_SECONDS


def test_blocks_that_slack_refuses_go_out_as_text(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    slack.fail_next("chat.postMessage", 200, "invalid_blocks")
    deliver(client, slack.event(text=MENTION))
    refused, post = answered(client, slack, bot)
    assert refused["blocks"]
    assert post["blocks"] == []
    assert "既定で30秒" in post["text"]


def test_an_answer_that_cannot_be_posted_leaves_a_sign(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    slack.fail_next("chat.postMessage", 200, "is_archived")
    deliver(client, slack.event(text=MENTION))
    settle(client, bot)
    assert [call["name"] for call in slack.calls_of("reactions.add")] == ["eyes", "warning"]


def test_no_reaction_is_no_reason_not_to_answer(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    slack.fail_next("reactions.add", 200, "missing_scope")
    slack.fail_next("reactions.remove", 200, "no_reaction")
    deliver(client, slack.event(text=MENTION))
    assert len(answered(client, slack, bot)) == 1


def test_with_too_much_to_do_slack_is_asked_to_come_again(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = slack.event(text=MENTION)
    monkeypatch.setattr("api.slack.service.MAX_PENDING", 0)
    assert deliver(client, event).status_code == 503
    monkeypatch.undo()
    assert deliver(client, event, retry=1).status_code == 200
    assert len(answered(client, slack, bot)) == 1


def test_nothing_is_lost_while_slack_does_not_know_the_bot(
    slack: FakeSlack, tmp_path: Path
) -> None:
    settings = Settings(
        index=tmp_path,
        slack_bot_token=SecretStr(TOKEN),
        slack_signing_secret=SecretStr(SECRET),
        slack_api_url=f"{slack.url}/api/",
    )
    app = create_app(settings, FakeAssistant())
    event = slack.event(text=MENTION)
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        slack.fail_next("auth.test", 503, "service_unavailable")
        assert deliver(client, event).status_code == 503
        assert deliver(client, event, retry=1).status_code == 200
        assert len(answered(client, slack, app.state.slack.bot)) == 1


def test_fifty_events_a_second_are_each_answered_once(
    client: httpx.Client, slack: FakeSlack, bot: SlackBot
) -> None:
    """Two seconds of it: doubles, retries, bots and talk among the questions, in ten channels."""
    deliveries = []
    for number in range(25):
        event = slack.event(text=MENTION, channel=f"C{number % 10}")
        message = slack.event(**{**event["event"], "type": "message"})
        deliveries += [message, event, slack.event(text=MENTION, bot_id="BOTHER"), event]
    began = time.monotonic()
    for number, delivery in enumerate(deliveries):
        time.sleep(max(0.0, began + number / 50 - time.monotonic()))
        assert deliver(client, delivery).status_code == 200
    settle(client, bot)
    answers = Counter((post["channel"], post["thread_ts"]) for post in slack.posts)
    asked = {
        (delivery["event"]["channel"], delivery["event"]["ts"])
        for delivery in deliveries
        if delivery["event"]["type"] == "app_mention" and "bot_id" not in delivery["event"]
    }
    assert len(asked) == 25
    assert answers == dict.fromkeys(asked, 1)


def test_nothing_is_there_for_slack_unless_it_is_set_up(tmp_path: Path) -> None:
    for given in ({}, {"slack_bot_token": TOKEN}, {"slack_signing_secret": SECRET}):
        settings = Settings(index=tmp_path, **given)  # type: ignore[arg-type]
        app = create_app(settings, FakeAssistant())
        assert app.state.slack is None
        assert "/slack/events" not in {getattr(route, "path", "") for route in app.routes}


def test_a_token_of_the_wrong_kind_is_told_but_not_shown(tmp_path: Path) -> None:
    settings = Settings(
        index=tmp_path,
        slack_bot_token=SecretStr("xapp-1-secret"),
        slack_signing_secret=SecretStr(SECRET),
    )
    with pytest.raises(
        ConfigError, match="KOTAE_SLACK_BOT_TOKEN does not start with xoxb-"
    ) as told:
        create_app(settings, FakeAssistant())
    assert "secret" not in str(told.value)
