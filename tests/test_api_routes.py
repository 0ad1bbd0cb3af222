"""The JSON API: its answers, its stream and its errors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import create_app
from api.messages import MESSAGES, status_and_message
from rag.citations import span_url
from rag.config import Settings
from rag.errors import RagError
from tests.fake_assistant import FakeAssistant

QUESTION = "SQSの可視性タイムアウトは何秒？"


@pytest.fixture
def assistant() -> FakeAssistant:
    return FakeAssistant()


@pytest.fixture
def client(assistant: FakeAssistant, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(index=tmp_path / "index"), assistant)) as client:
        yield client


def test_search_gives_hits_whose_citation_is_the_hit(
    client: TestClient, assistant: FakeAssistant
) -> None:
    found = client.post("/api/search", json={"question": QUESTION, "top_k": 3}).json()
    assert set(found) == {
        *("question", "search_question", "answerable", "hits", "took_ms", "snapshot_id"),
    }
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    hit = found["hits"][0]
    assert set(hit) == {"rank", "score", "signals", "text", "citation"}
    cited = hit["citation"]
    text = assistant.document(cited["doc_id"]).text
    assert text[cited["start_index"] : cited["end_index"]] == cited["quote"] == hit["text"]
    assert cited["url"] == span_url("aws/sqs.md", cited["start_index"], hit["text"])


def test_tags_and_history_reach_the_library(client: TestClient, assistant: FakeAssistant) -> None:
    asked = {"question": "最大は？", "history": [QUESTION], "tags": ["DOP-C02"]}
    answer = client.post("/api/ask", json=asked).json()
    assert assistant.asked == [("最大は？", (QUESTION,), ("DOP-C02",), None)]
    assert {hit["citation"]["doc_id"] for hit in answer["hits"]} == {"aws/sqs.md"}


def test_answer_has_statements_and_their_citations(client: TestClient) -> None:
    answer = client.post("/api/ask", json={"question": QUESTION}).json()
    assert not answer["refused"]
    assert answer["answer"].endswith("[2]")
    assert answer["statements"][0]["citation_numbers"] == [1]
    assert answer["statements"][0]["html"].startswith("<p><strong>可視性タイムアウト</strong>は")
    assert [cited["number"] for cited in answer["citations"]] == [1, 2]


def test_question_the_notes_do_not_hold_is_refused(client: TestClient) -> None:
    answer = client.post("/api/ask", json={"question": "月面の重力"}).json()
    assert answer["refused"]
    assert answer["answer"].startswith("ノートに見つかりません。")
    assert answer["statements"] == []
    assert answer["hits"]


@pytest.mark.parametrize("path", ["/api/search", "/api/ask"])
@pytest.mark.parametrize(
    ("why", "body", "status", "code"),
    [
        ("no question", {}, 422, "invalid_request"),
        ("blank question", {"question": " 　"}, 422, "question"),
        ("question is no text", {"question": 3}, 422, "invalid_request"),
        ("too many hits", {"question": "あ", "top_k": 51}, 422, "invalid_request"),
        ("unknown field", {"question": "あ", "topk": 3}, 422, "invalid_request"),
        ("half a character", b'{"question": "\\ud83d"}', 422, "invalid_request"),
        ("no JSON", b"{", 400, "invalid_json"),
        ("not UTF-8", b'{"question": "\xff"}', 400, "invalid_json"),
        ("too large", b'{"question": "' + b"a" * 1_000_000 + b'"}', 413, "too_large"),
    ],
)
def test_bad_requests_get_the_one_shape(
    client: TestClient, path: str, why: str, body: object, status: int, code: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status, why
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"] == MESSAGES[code][1]


def test_unknown_model_names_the_choices(client: TestClient) -> None:
    response = client.post("/api/ask", json={"question": "あ", "model": "gpt"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_model"
    assert "extractive" in response.json()["error"]["detail"]


def test_unknown_error_shows_an_id_that_the_log_explains(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.post("/api/ask", json={"question": "未知の失敗"})
    assert response.status_code == 500
    error = response.json()["error"]
    assert error["code"] == "internal"
    assert "ZeroDivisionError" not in response.text
    assert error["detail"]["id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/documents/none.md", 404, "not_found"),
        ("GET", "/api/search", 405, "method_not_allowed"),
    ],
)
def test_wrong_addresses_get_the_one_shape(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_documents_list_and_one_document(client: TestClient, assistant: FakeAssistant) -> None:
    listed = client.get("/api/documents").json()
    assert [note["doc_id"] for note in listed["documents"]] == [
        *("aws/kms.md", "aws/sqs.md", "evil.md", "memo.txt"),
    ]
    assert listed["tags"] == ["DOP-C02", "SAP-C02"]
    note = client.get("/api/documents/aws/sqs.md").json()
    assert note["text"] == assistant.document("aws/sqs.md").text
    assert [section["line"] for section in note["sections"]] == [5, 7, 12]
    assert note["sections"][1]["url"] == "/notes/aws/sqs.md#L7"


def test_feedback_is_kept_with_what_was_asked_and_replaced(
    client: TestClient, tmp_path: Path
) -> None:
    answer_id = client.post("/api/ask", json={"question": QUESTION}).json()["answer_id"]
    client.post("/api/feedback", json={"answer_id": answer_id, "verdict": "good"})
    given = {"answer_id": answer_id, "verdict": "bad", "comment": "秒と分"}
    assert client.post("/api/feedback", json=given).json() == given
    client.post("/api/feedback", json={"answer_id": "from-before", "verdict": "good"})
    with sqlite3.connect(tmp_path / "index" / "feedback.sqlite3") as connection:
        columns = "answer_id, verdict, comment, question"
        rows = connection.execute(f"SELECT {columns} FROM feedback ORDER BY rowid").fetchall()
    connection.close()
    assert rows == [(answer_id, "bad", "秒と分", QUESTION), ("from-before", "good", None, None)]


def test_feedback_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "a file, not a folder"
    blocked.write_text("")
    with TestClient(create_app(Settings(index=blocked), FakeAssistant())) as client:
        response = client.post("/api/feedback", json={"answer_id": "a", "verdict": "good"})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "feedback")


def test_every_error_of_the_library_has_its_sentence() -> None:
    errors = [RagError]
    for error in errors:
        errors += error.__subclasses__()
        if error.__module__ == RagError.__module__:  # the harness's own never reach a reader
            assert error.code in MESSAGES, error


def test_unheard_of_code_is_an_internal_error() -> None:
    assert status_and_message("never heard of") == MESSAGES["internal"]


def test_health_readiness_and_metrics(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {
        "status": "ready",
        "snapshot_id": "snapshot-1",
        "documents": 4,
        "models": ["extractive"],
    }
    client.post("/api/ask", json={"question": QUESTION})
    client.post("/api/search", json={"question": QUESTION})
    client.get("/notes/aws/sqs.md")
    metrics = client.get("/metrics").text
    assert 'kotae_answers_total{model="extractive",refused="false"} 1.0' in metrics
    assert "kotae_search_seconds_count 2.0" in metrics  # the answer searched too
    assert 'route="/notes/{doc_id:path}",status="200"' in metrics


def test_every_response_carries_the_security_headers(client: TestClient) -> None:
    for path in ("/", "/notes/evil.md", "/api/documents", "/static/css/base.css", "/nowhere"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy, path
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_openapi_names_every_route_and_error(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        *("/api/search", "/api/ask", "/api/documents", "/api/documents/{doc_id}"),
        *("/api/feedback", "/v1/models", "/v1/chat/completions"),
        *("/healthz", "/readyz", "/metrics"),
    }
    assert "ErrorResponse" in json.dumps(paths["/api/search"]["post"]["responses"]["422"])
    assert "HTTPValidationError" not in json.dumps(paths)
