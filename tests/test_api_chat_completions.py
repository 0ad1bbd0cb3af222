"""The endpoint that OpenAI's clients talk to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai import AsyncOpenAI, NotFoundError, OpenAI, UnprocessableEntityError

from api import create_app
from api.messages import MESSAGES, NEAREST_NOTES, REFUSED
from rag.config import Settings
from rag.presenting import UNCONFIRMED
from tests.fake_assistant import FakeAssistant
from tests.servers import serving

QUESTION = "SQSの可視性タイムアウトは何秒？"
MESSAGE = {"role": "user", "content": QUESTION}


@pytest.fixture
def assistant() -> FakeAssistant:
    return FakeAssistant()


@pytest.fixture
def client(assistant: FakeAssistant, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(index=tmp_path), assistant)) as client:
        yield client


def complete(client: TestClient, *messages: dict[str, Any], **options: Any) -> dict[str, Any]:  # noqa: ANN401
    body = {"model": "kotae", "messages": list(messages), **options}
    completion: dict[str, Any] = client.post("/v1/chat/completions", json=body).json()
    return completion


def chunks_of(body: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_citations_come_in_the_text_as_annotations_and_whole(client: TestClient) -> None:
    completion = complete(client, MESSAGE)
    message = completion["choices"][0]["message"]
    content = message["content"]
    assert "見えない。[1]\n" in content
    assert "[1] Amazon SQS › " in content
    assert "（aws/sqs.md 9〜10行目）" in content
    for annotation, cited in zip(
        message["annotations"], completion["kotae"]["citations"], strict=True
    ):
        link = annotation["url_citation"]
        assert content[link["start_index"] : link["end_index"]] == f"[{cited['number']}]"
        assert link["url"] == "http://testserver" + cited["url"]
        assert link["title"] == cited["title"]
    assert completion["usage"]["total_tokens"] > 0


def test_earlier_questions_are_the_history(client: TestClient, assistant: FakeAssistant) -> None:
    parts = [{"type": "text", "text": "最大は？"}, {"type": "image_url", "image_url": {"url": "x"}}]
    complete(
        client,
        {"role": "system", "content": "英語で答えよ"},
        MESSAGE,
        {"role": "assistant", "content": "30秒です。[1]"},
        {"role": "user", "content": parts},
    )
    assert assistant.asked == [("最大は？", (QUESTION,), (), None)]


def test_refusal_names_the_nearest_notes(client: TestClient) -> None:
    content = complete(client, {"role": "user", "content": "月面の重力"})["choices"][0]["message"][
        "content"
    ]
    assert content.startswith(REFUSED)
    assert NEAREST_NOTES in content


def test_statement_the_notes_do_not_confirm_is_marked(client: TestClient) -> None:
    message = complete(client, {"role": "user", "content": QUESTION + "未確認"})["choices"][0][
        "message"
    ]
    assert f"最大は99時間です。{UNCONFIRMED}[1]" in message["content"]


def test_indexes_count_code_points(tmp_path: Path) -> None:
    notes = {"a.md": "# 𠮷野家\n\n𠮷野家の👍は三つ。\n"}
    with TestClient(create_app(Settings(index=tmp_path), FakeAssistant(notes))) as client:
        message = complete(client, {"role": "user", "content": "𠮷野家"})["choices"][0]["message"]
    link = message["annotations"][0]["url_citation"]
    assert message["content"][link["start_index"] : link["end_index"]] == "[1]"
    assert link["start_index"] == len("𠮷野家の👍は三つ。")


def test_stream_is_in_openai_s_order(client: TestClient) -> None:
    body = {
        "model": "extractive",
        "messages": [MESSAGE],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    response = client.post("/v1/chat/completions", json=body)
    *chunks, usage = chunks_of(response.text)
    assert {chunk["object"] for chunk in [*chunks, usage]} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"]["role"] == "assistant"
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
    assert choices[-1]["finish_reason"] == "stop"
    assert choices[-1]["delta"]["annotations"]
    assert chunks[-1]["kotae"]["citations"]
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] > 0
    text = "".join(choice["delta"].get("content", "") for choice in choices)
    assert text == complete(client, MESSAGE)["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("question", "code"), [("モデル停止", "generator"), ("未知の失敗", "internal")]
)
def test_failing_model_ends_the_stream_with_an_error(
    client: TestClient, question: str, code: str
) -> None:
    body = {"messages": [{"role": "user", "content": question}], "stream": True}
    chunks = chunks_of(client.post("/v1/chat/completions", json=body).text)
    assert chunks[-1]["error"]["code"] == code


@pytest.mark.parametrize(
    ("why", "body", "status", "code"),
    [
        ("no messages", {"messages": []}, 422, "invalid_request"),
        ("nobody asks", {"messages": [{"role": "system", "content": "a"}]}, 422, "question"),
        ("blank", {"messages": [{"role": "user", "content": " "}]}, 422, "question"),
        ("no text", {"messages": [{"role": "user"}]}, 422, "question"),
        ("no such model", {"model": "gpt", "messages": [MESSAGE]}, 404, "unknown_model"),
        (
            "no such model, streaming",
            {"model": "gpt", "messages": [MESSAGE], "stream": True},
            404,
            "unknown_model",
        ),
    ],
)
def test_errors_have_openai_s_shape(
    client: TestClient, why: str, body: dict[str, Any], status: int, code: str
) -> None:
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == status, why
    assert response.json() == {
        "error": {
            "message": MESSAGES[code][1],
            "type": "invalid_request_error",
            "param": None,
            "code": code,
        }
    }


@pytest.fixture
def base_url(assistant: FakeAssistant, tmp_path: Path) -> Iterator[str]:
    with serving(create_app(Settings(index=tmp_path), assistant)) as url:
        yield f"{url}/v1"


@pytest.mark.slow
def test_the_official_client_works(base_url: str) -> None:
    with OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["kotae", "extractive"]
        completion = client.chat.completions.create(
            model="kotae", messages=[{"role": "user", "content": QUESTION}]
        )
        message = completion.choices[0].message
        assert message.annotations is not None
        assert message.annotations[0].url_citation.title == "Amazon SQS"
        assert completion.model_extra is not None
        assert completion.model_extra["kotae"]["refused"] is False
        stream = client.chat.completions.create(
            model="kotae",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text == message.content
        assert chunks[-1].usage is not None
        with pytest.raises(NotFoundError, match=MESSAGES["unknown_model"][1]):
            client.chat.completions.create(
                model="gpt", messages=[{"role": "user", "content": QUESTION}]
            )
        with pytest.raises(UnprocessableEntityError):
            client.chat.completions.create(
                model="kotae", messages=[{"role": "user", "content": " "}]
            )


@pytest.mark.slow
def test_the_official_asynchronous_client_works(base_url: str) -> None:
    async def ask() -> tuple[str | None, str]:
        async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            completion = await client.chat.completions.create(
                model="kotae", messages=[{"role": "user", "content": QUESTION}]
            )
            stream = await client.chat.completions.create(
                model="kotae", messages=[{"role": "user", "content": QUESTION}], stream=True
            )
            streamed = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return completion.choices[0].message.content, "".join(streamed)

    whole, streamed = asyncio.run(ask())
    assert whole == streamed
    assert whole
