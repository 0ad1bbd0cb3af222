"""From a reader's thumb down to a question that `kotae eval` scores."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import create_app
from api.feedback import FILE_NAME, FeedbackStore
from rag.assistant import Assistant
from rag.cli import main
from rag.config import Settings
from tests.fakes import install_fake_embedder, make_settings

QUESTION = "メッセージは何秒のあいだ見えない？"
QUOTE = "受信したメッセージは、既定で30秒のあいだ他のコンシューマーから見えない。"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A working folder with notes in corpus/ and the index in index/, as a user has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOTAE_ANSWER_THRESHOLD", "0")
    install_fake_embedder(monkeypatch)
    return make_settings(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command with what is typed into it: its status and what it printed."""

    def run_command(*arguments: str, typed: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert isinstance(done.value.code, int)
        return done.value.code, capsys.readouterr().out

    return run_command


def judge(settings: Settings, *verdicts: str, question: str = QUESTION) -> None:
    """Asks over HTTP, and gives these verdicts on the answers."""
    with TestClient(create_app(settings, Assistant.open(settings))) as client:
        for verdict in verdicts:
            asked = {"question": question, "history": ["SQSとは？"]}
            answer = client.post("/api/ask", json=asked).json()
            given = {"answer_id": answer["answer_id"], "verdict": verdict, "comment": "違う"}
            assert client.post("/api/feedback", json=given).status_code == 200


def scored(out: str) -> dict[str, Any]:
    value = json.loads(out)
    assert isinstance(value, dict)
    return value


def test_a_bad_verdict_becomes_a_gold_question_that_eval_scores(
    settings: Settings, run: Run, tmp_path: Path
) -> None:
    judge(settings, "bad", "good")
    status, out = run("gold", "review", typed="1b\n\n")
    assert status == 0
    assert "1 added to gold/feedback.jsonl, 0 left to review" in out

    (line,) = (tmp_path / "gold" / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    question = json.loads(line)
    assert question["question"] == QUESTION
    assert question["history"] == ["SQSとは？"]
    (target,) = question["relevant"]
    assert target["doc_id"] == "aws/sqs.md"
    assert target["quote"].startswith(QUOTE)
    assert question["answer_keys"] == [["30秒"], ["12時間"]]

    status, out = run("eval", "--legs", "--json")  # finds gold/ by itself
    assert status == 0
    figures = scored(out)
    assert figures["set"]["questions"] == figures["set"]["from_feedback"] == 1
    assert figures["runs"]["whole"]["hit@5"]["value"] == 1.0
    status, out = run("eval", "--legs", "--gold", "gold/feedback.jsonl", "--report", "report")
    assert "1 questions, 1 answerable, 1 from readers' feedback" in out
    report = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "うち利用者の評価から 1" in report
    assert "1 from readers' feedback" in (tmp_path / "report" / "summary.md").read_text()


def test_what_was_rejected_or_skipped_is_not_shown_again(settings: Settings, run: Run) -> None:
    judge(settings, "bad", "bad")
    _, out = run("gold", "review", typed="s\nx\n")
    assert "0 added" in out
    assert "no bad verdict waits for review" in run("gold", "review")[1]
    _, out = run("gold", "review", "--skipped", typed="n\n")
    assert "1 added to gold/feedback.jsonl" in out
    assert "no bad verdict waits" in run("gold", "review", "--skipped")[1]


def test_a_review_that_is_broken_off_goes_on_where_it_was(settings: Settings, run: Run) -> None:
    judge(settings, "bad", "bad")
    assert "1 left to review" in run("gold", "review", typed="n\n")[1]
    assert "1 added" in run("gold", "review", "--gold", "other/file.jsonl", typed="n\n")[1]
    assert Path("other/file.jsonl").exists()


def test_a_verdict_on_an_answer_that_is_forgotten_cannot_be_reviewed(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path)
    store.save("from-before", "bad", None)
    assert store.bad_answers() == []


def test_without_feedback_nothing_is_made(settings: Settings, run: Run) -> None:
    assert "no bad verdict waits for review in index" in run("gold", "review")[1]
    assert not settings.index.exists()


def test_a_table_of_an_earlier_version_gets_the_new_columns(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        connection.execute(
            "CREATE TABLE feedback (answer_id TEXT PRIMARY KEY, verdict TEXT NOT NULL,"
            " comment TEXT, given_at TEXT NOT NULL, question TEXT, answer TEXT, citations TEXT,"
            " model TEXT, snapshot_id TEXT)"
        )
        connection.execute(
            "INSERT INTO feedback VALUES ('a', 'bad', NULL, '2026', '問', '答', '[]', 'm', 's')"
        )
    store = FeedbackStore(tmp_path)
    (answer,) = store.bad_answers()
    assert (answer.question, answer.history) == ("問", ())
    store.mark("a", "rejected")
    assert store.bad_answers() == []
    store.save("a", "bad", "やはり違う")
    assert [answer.comment for answer in store.bad_answers()] == ["やはり違う"]
