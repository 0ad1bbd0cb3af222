"""The Slack bot's memory and reading: deliveries, threads, questions."""

from __future__ import annotations

from typing import Any

import pytest

from api.schemas import MAX_HISTORY
from api.slack.deliveries import SeenDeliveries
from api.slack.questions import plain_question, read_question
from api.slack.threads import ThreadStore

KEY = ("T1", "C1", "1.1")


class Clock:
    """Time as a test tells it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_delivery_is_taken_once_by_any_of_its_keys() -> None:
    seen = SeenDeliveries()
    assert seen.take("event 1", "message 1")
    assert not seen.take("event 1", "message 2")
    assert not seen.take("event 2", "message 1")
    assert not seen.take("event 2")  # known since the line above
    assert seen.take("event 3")


def test_deliveries_are_forgotten_after_their_time_or_when_there_are_too_many() -> None:
    clock = Clock()
    seen = SeenDeliveries(ttl_seconds=10, max_keys=2, clock=clock)
    assert seen.take("a")
    clock.now = 9
    assert not seen.take("a")
    clock.now = 10
    assert seen.take("a")
    for key in ("b", "c", "d"):
        assert seen.take(key)
    assert seen.take("a")


def test_history_is_what_was_asked_before_by_the_time_of_the_messages() -> None:
    threads = ThreadStore()
    assert KEY not in threads
    assert threads.add(KEY, "1.3", "三") == ()
    assert threads.add(KEY, "1.1", "一") == ()
    assert threads.add(KEY, "1.2", "二") == ("一",)
    assert threads.add(KEY, "1.4", "四") == ("一", "二", "三")
    assert threads.add(("T1", "C2", "1.1"), "1.5", "別") == ()


def test_threads_are_few_short_and_forgotten() -> None:
    clock = Clock()
    threads = ThreadStore(max_threads=2, ttl_seconds=10, clock=clock)
    for number in range(MAX_HISTORY + 5):
        history = threads.add(KEY, f"1.{number:03}", str(number))
    assert history == tuple(str(number) for number in range(4, MAX_HISTORY + 4))
    for channel in ("C2", "C3"):
        threads.add(("T1", channel, "1.1"), "1.1", "質問")
    assert KEY not in threads
    clock.now = 11
    assert ("T1", "C3", "1.1") not in threads


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("<@UBOT> 光合成とは？", "光合成とは？"),
        ("<@UBOT|kotae>光合成とは？", "光合成とは？"),
        ("光合成とは <@U2> ？", "光合成とは   ？"),
        ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
        ("&amp;lt;", "&lt;"),
        ("<https://example.com/a?b=1&amp;c=2>を読んだ", "https://example.com/a?b=1&c=2を読んだ"),
        ("<https://example.com|例>と<#C1|一般>", "例と#一般"),
        ("<!here> 質問", "質問"),
        ("<@UBOT>", ""),
    ],
)
def test_a_question_is_what_was_typed(text: str, question: str) -> None:
    assert plain_question(text) == question


@pytest.mark.parametrize("fields", [{"text": None}, {"ts": None}, {"channel": 3}, {"user": ""}])
def test_an_event_without_its_parts_is_no_question(fields: dict[str, Any]) -> None:
    event = {"type": "app_mention", "user": "U1", "text": "問", "ts": "1.1", "channel": "C1"}
    assert read_question(event, "T1", "UBOT") is not None
    assert read_question(event | fields, "T1", "UBOT") is None
