"""A reader's verdict on an answer → a row in SQLite next to the index, and from there to review."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.errors import FeedbackError
from api.schemas import Text
from rag.types import Answer

FILE_NAME: Final = "feedback.sqlite3"
REMEMBERED_ANSWERS: Final = 1000

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS feedback (
    answer_id TEXT PRIMARY KEY,
    verdict TEXT NOT NULL CHECK (verdict IN ('good', 'bad')),
    comment TEXT,
    given_at TEXT NOT NULL,
    question TEXT,
    answer TEXT,
    citations TEXT,
    model TEXT,
    snapshot_id TEXT,
    history TEXT,
    outcome TEXT
)
"""
_ADDED_COLUMNS: Final = ("history", "outcome")
"""Absent from a table that an earlier version made."""

Outcome = Literal["gold", "rejected", "skipped"]
"""What became of a bad verdict in review; a new verdict on the same answer undoes it."""


class FeedbackRequest(BaseModel):
    """A reader's verdict on an answer; a later one on the same answer replaces it."""

    model_config = ConfigDict(extra="forbid")

    answer_id: Text = Field(min_length=1, max_length=200)
    verdict: Literal["good", "bad"]
    comment: Text | None = Field(default=None, max_length=2000)


class FeedbackResponse(BaseModel):
    """The verdict as it was kept."""

    answer_id: str
    verdict: Literal["good", "bad"]
    comment: str | None


@dataclass(frozen=True, slots=True)
class BadAnswer:
    """An answer that a reader called bad, with what had been asked."""

    answer_id: str
    question: str
    history: tuple[str, ...]
    answer: str
    comment: str | None
    given_at: str


class FeedbackStore:
    """Keeps verdicts, and with them the question and answer if the answer is still remembered."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._answers: OrderedDict[str, tuple[Answer, tuple[str, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, answer: Answer, history: Sequence[str] = ()) -> None:
        """Keeps the last answers in memory; only those a reader judges reach the disk."""
        with self._lock:
            self._answers[answer.answer_id] = (answer, tuple(history))
            while len(self._answers) > REMEMBERED_ANSWERS:
                self._answers.popitem(last=False)

    def save(self, answer_id: str, verdict: Literal["good", "bad"], comment: str | None) -> None:
        """Adds or replaces the verdict on an answer; raises FeedbackError."""
        with self._lock:
            remembered = self._answers.get(answer_id)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = {"answer_id": answer_id, "verdict": verdict, "comment": comment, "given_at": now}
        if remembered:
            row |= _answer_columns(*remembered)
        with self._connected() as connection:
            connection.execute(
                f"INSERT INTO feedback ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
                " ON CONFLICT (answer_id) DO UPDATE SET verdict = excluded.verdict,"
                " comment = excluded.comment, given_at = excluded.given_at, outcome = NULL",
                tuple(row.values()),
            )

    def bad_answers(self, outcomes: Sequence[Outcome] = ()) -> list[BadAnswer]:
        """Those nobody has reviewed, and those with one of the outcomes; oldest first."""
        if not self._path.exists():
            return []
        wanted = ", ".join("?" * len(outcomes))
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT answer_id, question, history, answer, comment, given_at FROM feedback"
                " WHERE verdict = 'bad' AND question IS NOT NULL"
                f" AND (outcome IS NULL OR outcome IN ({wanted})) ORDER BY given_at, rowid",
                tuple(outcomes),
            ).fetchall()
        return [
            BadAnswer(answer_id, question, tuple(json.loads(history or "[]")), *others)
            for answer_id, question, history, *others in rows
        ]

    def mark(self, answer_id: str, outcome: Outcome) -> None:
        """Remembers what became of a bad answer; raises FeedbackError."""
        with self._connected() as connection:
            connection.execute(
                "UPDATE feedback SET outcome = ? WHERE answer_id = ?", (outcome, answer_id)
            )

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are kept at the end; the table is there, with all columns."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
                connection.execute(_SCHEMA)
                present = {row[1] for row in connection.execute("PRAGMA table_info(feedback)")}
                for column in _ADDED_COLUMNS:
                    if column not in present:
                        connection.execute(f"ALTER TABLE feedback ADD COLUMN {column} TEXT")
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise FeedbackError(f"{self._path}: {error}") from error


def _answer_columns(answer: Answer, history: tuple[str, ...]) -> dict[str, str]:
    citations = [
        {"doc_id": cited.doc_id, "start_index": cited.start_index, "end_index": cited.end_index}
        for cited in answer.citations
    ]
    return {
        "question": answer.question,
        "answer": answer.text,
        "citations": json.dumps(citations),
        "model": answer.model,
        "snapshot_id": answer.snapshot_id,
        "history": json.dumps(history, ensure_ascii=False),
    }
