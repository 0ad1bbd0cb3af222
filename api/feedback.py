"""A reader's verdict on an answer → a row in SQLite next to the index."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from contextlib import closing
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
    snapshot_id TEXT
)
"""


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


class FeedbackStore:
    """Keeps verdicts, and with them the question and answer if the answer is still remembered."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, answer: Answer) -> None:
        """Keeps the last answers in memory; only those a reader judges reach the disk."""
        with self._lock:
            self._answers[answer.answer_id] = answer
            while len(self._answers) > REMEMBERED_ANSWERS:
                self._answers.popitem(last=False)

    def save(self, answer_id: str, verdict: Literal["good", "bad"], comment: str | None) -> None:
        """Adds or replaces the verdict on an answer; raises FeedbackError."""
        with self._lock:
            answer = self._answers.get(answer_id)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = (answer_id, verdict, comment, now, *_answer_columns(answer))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
                connection.execute(_SCHEMA)
                connection.execute(
                    "INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (answer_id) DO UPDATE SET verdict = excluded.verdict,"
                    " comment = excluded.comment, given_at = excluded.given_at",
                    row,
                )
        except (sqlite3.Error, OSError) as error:
            raise FeedbackError(f"{self._path}: {error}") from error


def _answer_columns(answer: Answer | None) -> tuple[str | None, ...]:
    if answer is None:
        return (None,) * 5
    citations = [
        {"doc_id": cited.doc_id, "start_index": cited.start_index, "end_index": cited.end_index}
        for cited in answer.citations
    ]
    text = answer.text
    return answer.question, text, json.dumps(citations), answer.model, answer.snapshot_id
