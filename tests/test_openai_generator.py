"""The client of answer models, against a real HTTP server that misbehaves."""

from __future__ import annotations

import pytest

from rag.errors import GeneratorError
from rag.openai_generator import OpenAIGenerator, without_thoughts
from rag.prompting import Prompt
from tests.answer_server import (
    CUT,
    END,
    GARBAGE,
    LENGTH,
    SILENCE,
    AnswerServer,
    answer_server,
)
from tests.fakes import make_chunk, make_hit


def generate(server: AnswerServer, timeout_seconds: float = 5.0, **changes: object) -> list[str]:
    generator = OpenAIGenerator("local", server.model(**changes), Prompt(), timeout_seconds)
    hits = [make_hit(make_chunk("既定は30秒。"))]
    return list(generator.generate("既定は？", hits, ["SQSとは？"]))


def test_the_answer_comes_in_the_pieces_the_server_sends() -> None:
    with answer_server("既定は", "30秒です。", "[1]") as server:
        assert [piece for piece in generate(server) if piece] == ["既定は", "30秒です。", "[1]"]
    (request,) = server.requests
    assert (request["model"], request["stream"]) == ("test", True)
    system, user = request["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    assert "既定は30秒。" in user["content"]
    assert "SQSとは？" in user["content"]
    assert user["content"].endswith("質問: 既定は？")
    assert server.keys == ["Bearer himitsu"]


def test_options_go_into_the_request() -> None:
    with answer_server("はい。[1]") as server:
        generate(server, options={"temperature": 0, "max_tokens": 300})
    assert server.requests[0]["temperature"] == 0
    assert server.requests[0]["max_tokens"] == 300


def test_no_key_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "someone-else-s")
    with answer_server("はい。") as server:
        generate(server, api_key=None)
    assert server.keys == ["Bearer none"]


def test_a_server_that_is_busy_is_asked_again() -> None:
    with answer_server("はい。[1]", statuses=[429, 503]) as server:
        assert "".join(generate(server, max_retries=2)) == "はい。[1]"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "refused"),
        (401, "refused"),
        (404, "refused"),
        (429, "rate_limited"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_a_refusal_is_told_without_the_key(status: int, reason: str) -> None:
    with (
        answer_server(statuses=[status]) as server,
        pytest.raises(GeneratorError, match=r"answer model 'local' \(test at http://") as caught,
    ):
        generate(server)
    assert caught.value.reason == reason
    assert "himitsu" not in str(caught.value)
    assert "no, ***" in str(caught.value)


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        (["既定は", CUT], "cut_off"),
        ([CUT], "cut_off"),
        (["既定は", END], "cut_off"),
        (["既定は", GARBAGE], "cut_off"),
        (["既定は", LENGTH], "too_long"),
        (["既定は", SILENCE], "timeout"),
    ],
)
def test_a_stream_that_does_not_end_well_is_a_failure(pieces: list[str], reason: str) -> None:
    with answer_server(*pieces) as server, pytest.raises(GeneratorError) as caught:
        generate(server, timeout_seconds=0.3)
    assert caught.value.reason == reason


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with answer_server() as server:
        pass
    with pytest.raises(GeneratorError, match="Connection error") as caught:
        generate(server)
    assert caught.value.reason == "unreachable"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["既定は", "30秒。"], "既定は30秒。"),
        (["<th", "ink>30分かも", "</think>\n", "30秒。"], "\n30秒。"),
        (["\n<think>a</think>", "30秒。"], "30秒。"),
        (["<think>終わらない"], ""),
        (["<b", ">太字"], "<b>太字"),
        (["<"], "<"),
        (["30秒。", "<think>これは本文</think>"], "30秒。<think>これは本文</think>"),
        ([], ""),
    ],
)
def test_what_a_model_thinks_aloud_is_no_answer(pieces: list[str], expected: str) -> None:
    assert "".join(without_thoughts(pieces)) == expected
