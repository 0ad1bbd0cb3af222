"""An answer as server-sent events: their order, their end, and readers who go away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import create_app, streaming
from api.messages import MESSAGES
from rag.config import Settings
from rag.types import Answer, SearchResult
from tests.fake_assistant import FakeAssistant

QUESTION = "SQSの可視性タイムアウトは何秒？"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(index=tmp_path), FakeAssistant())) as client:
        yield client


def events_of(body: str) -> list[tuple[str, Any]]:
    events = []
    for block in body.strip().split("\n\n"):
        name, data = block.split("\n", 1)
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def test_stream_is_hits_then_deltas_then_the_answer(client: TestClient) -> None:
    response = client.post("/api/ask", json={"question": QUESTION, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = events_of(response.text)
    names = [name for name, _ in events]
    assert names[0] == "hits"
    assert set(names[1:-2]) == {"delta"}
    assert names[-2:] == ["answer", "done"]
    deltas = "".join(data["text"] for name, data in events if name == "delta")
    assert deltas == events[-2][1]["answer"]


@pytest.mark.parametrize(
    ("question", "code"), [("モデル停止", "generator"), ("未知の失敗", "internal")]
)
def test_stream_that_fails_midway_says_so_and_ends(
    client: TestClient, question: str, code: str
) -> None:
    response = client.post("/api/ask", json={"question": question, "stream": True})
    events = events_of(response.text)
    assert [name for name, _ in events] == ["hits", "error", "done"]
    error = events[1][1]["error"]
    assert (error["code"], error["message"]) == (code, MESSAGES[code][1])


def test_blank_question_is_refused_before_the_stream_starts(client: TestClient) -> None:
    response = client.post("/api/ask", json={"question": " ", "stream": True})
    assert response.status_code == 422


def test_reader_who_goes_away_lets_go_of_the_answer() -> None:
    closed = []

    def pieces() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    async def read_two() -> None:
        stream = streaming.pieces_from_thread(pieces())
        assert [await anext(stream), await anext(stream)] == [0, 1]
        await stream.aclose()
        while not closed:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(read_two(), 5))


def test_silent_stream_is_kept_alive() -> None:
    def pieces() -> Iterator[SearchResult | str | Answer]:
        yield "一"
        for _ in range(20):
            time.sleep(0.005)
            yield ""  # a model at work that says nothing
        yield "二"

    async def read_all() -> list[bytes]:
        coming = streaming.pieces_from_thread(pieces(), silence_seconds=0.02)
        return [event async for event in streaming.ask_events(coming)]

    events = asyncio.run(read_all())
    assert streaming.PING in events[1:-2]
    assert events[-1].startswith(b"event: done")
