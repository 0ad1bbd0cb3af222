"""Gold questions: JSONL files → checked questions, anchored to the words of the notes.

One line: {"query_id", "question", "history", "tags", "answerable", "relevant": [{"doc_id",
"quote"}], "answer_keys": [[…]], "split", "origin"}; only query_id, question and answerable must be
there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rag.errors import RagError
from rag.types import Chunk, Document

Split = Literal["tune", "held"]
SPLITS: tuple[Split, ...] = ("tune", "held")
FROM_FEEDBACK = "feedback"
"""The `origin` of a question that a reader's bad verdict led to."""
_SHOWN_FAULTS = 20


class GoldError(RagError):
    """A question set cannot be used; one line for each fault, with its file and line."""

    code = "gold"

    def __init__(self, faults: Sequence[str]) -> None:
        hidden = len(faults) - _SHOWN_FAULTS
        more = [f"… and {hidden} more faults of this kind"] if hidden > 0 else []
        super().__init__("\n".join([*faults[:_SHOWN_FAULTS], *more]))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Target:
    """What a question should find: a quote of a note, or (no quote) a whole document.

    `spans` are the places in the document where the quote stands, empty for a whole document.
    """

    doc_id: str
    quote: str = ""
    spans: tuple[tuple[int, int], ...] = ()
    relevance: float = 1.0

    def held_by(self, chunk: Chunk) -> bool:
        """The chunk holds at least half of the characters of one of the quote's places."""
        if chunk.doc_id != self.doc_id:
            return False
        return not self.quote or self.is_covered(chunk.start_index, chunk.end_index)

    def is_covered(self, start_index: int, end_index: int) -> bool:
        """That part of the document holds at least half of one of the quote's places."""
        return any(
            2 * (min(end, end_index) - max(start, start_index)) >= end - start
            for start, end in self.spans
        )


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """A question, what it should find, `where` it was written (file:line), `origin` if noted."""

    query_id: str
    question: str
    answerable: bool
    targets: tuple[Target, ...]
    history: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    answer_keys: tuple[tuple[str, ...], ...] = ()
    split: Split = "held"
    origin: str = ""
    where: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes whenever what is asked or expected does, so that old scores no longer apply."""
        targets = [[t.doc_id, t.quote, t.relevance] for t in self.targets]
        asked = [self.question, self.history, self.answerable, targets, self.answer_keys]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def load_gold(paths: Sequence[Path]) -> list[GoldQuestion]:
    """The questions of all files in order, their form checked; raises GoldError."""
    faults: list[str] = []
    questions: list[GoldQuestion] = []
    for path in paths:
        for where, line in _read_lines(path):
            try:
                questions.append(parse_gold_line(line, where))
            except ValueError as fault:
                faults.append(f"{where}: {fault}")
    faults += _duplicates(questions)
    if faults:
        raise GoldError(faults)
    if not questions:
        raise GoldError([f"no question in {', '.join(map(str, paths)) or 'no file'}"])
    return questions


def anchor_gold(
    questions: Sequence[GoldQuestion], documents: Mapping[str, Document]
) -> list[GoldQuestion]:
    """Each quote's places in its note filled in; GoldError for an unknown note or absent quote."""
    faults: list[str] = []
    anchored: list[GoldQuestion] = []
    for question in questions:
        targets: list[Target] = []
        for target in question.targets:
            try:
                targets.append(_anchor(target, documents))
            except ValueError as fault:
                faults.append(f"{question.where}: {fault}")
        anchored.append(replace(question, targets=tuple(targets)))
    if faults:
        raise GoldError(faults)
    return anchored


def _anchor(target: Target, documents: Mapping[str, Document]) -> Target:
    if target.doc_id not in documents:
        raise ValueError(
            f"unknown doc_id {target.doc_id!r} among {len(documents)} notes; "
            "it is the path below the corpus folder, white space as _"
        )
    spans = tuple(_occurrences(documents[target.doc_id].text, target.quote))
    if not spans:
        raise ValueError(
            f"quote {_short(target.quote)} is not in {target.doc_id}; "
            "copy it from the note, character by character"
        )
    return replace(target, spans=spans)


def _occurrences(text: str, quote: str) -> Iterator[tuple[int, int]]:
    start = text.find(quote)
    while start >= 0:
        yield start, start + len(quote)
        start = text.find(quote, start + 1)


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(file:line, line) of each line that is not blank."""
    try:
        raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise GoldError([f"{path}: cannot be read ({error.strerror or error})"]) from error
    for number, line in enumerate(raw.split(b"\n"), start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise GoldError([f"{path}:{number}: not UTF-8; save the file as UTF-8"]) from error
        if text.strip():
            yield f"{path}:{number}", text


def parse_gold_line(line: str, where: str) -> GoldQuestion:
    """One question; ValueError says what is wrong with the line."""
    try:
        row = json.loads(line, object_pairs_hook=_unique_keys)
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON at column {error.colno}: {error.msg}") from error
    except (RecursionError, UnicodeEncodeError) as error:
        raise ValueError(f"broken JSON: {type(error).__name__}") from error
    _check_keys(row, _QUESTION_KEYS, "the line")
    question = GoldQuestion(
        query_id=row["query_id"],
        question=row["question"],
        answerable=row["answerable"],
        targets=tuple(_parse_target(entry) for entry in row.get("relevant", [])),
        history=tuple(row.get("history", [])),
        tags=tuple(row.get("tags", [])),
        answer_keys=tuple(map(tuple, row.get("answer_keys", []))),
        split=row.get("split", "held"),
        origin=row.get("origin", ""),
        where=where,
    )
    _check_sense(question)
    return question


def _parse_target(entry: object) -> Target:
    row = _check_keys(entry, _TARGET_KEYS, "an entry of relevant")
    return Target(doc_id=row["doc_id"], quote=row["quote"])


def _check_sense(question: GoldQuestion) -> None:
    """What is expected must fit what is said of the notes."""
    if not question.answerable and (question.targets or question.answer_keys):
        raise ValueError("answerable is false, so relevant and answer_keys must be empty")
    if question.answerable and not (question.targets or question.answer_keys):
        raise ValueError("answerable is true, but neither relevant nor answer_keys says what with")
    if len(set(question.targets)) < len(question.targets):
        raise ValueError("the same quote stands twice in relevant")


def _duplicates(questions: Sequence[GoldQuestion]) -> list[str]:
    first: dict[str, str] = {}
    faults: list[str] = []
    for question in questions:
        if question.query_id in first:
            seen = first[question.query_id]
            faults.append(
                f"{question.where}: duplicate query_id {question.query_id!r}, first at {seen}"
            )
        first.setdefault(question.query_id, question.where)
    return faults


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise ValueError(f"key {twice[0]!r} stands twice")
    return row


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list_of(value: object, is_item: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and all(map(is_item, value))


def _is_texts(value: object) -> bool:
    return _is_list_of(value, _is_text)


@dataclass(frozen=True, slots=True)
class _Key:
    """What a key must hold, in words and as a check."""

    wanted: str
    is_right: Callable[[object], bool]
    required: bool = False


_QUESTION_KEYS: Mapping[str, _Key] = {
    "query_id": _Key(
        "text without white space", lambda v: _is_text(v) and str(v).split() == [v], required=True
    ),
    "question": _Key("text", _is_text, required=True),
    "answerable": _Key("true or false", lambda v: isinstance(v, bool), required=True),
    "relevant": _Key("a list of {doc_id, quote}", lambda v: isinstance(v, list)),
    "history": _Key("a list of earlier questions", _is_texts),
    "tags": _Key("a list of texts", _is_texts),
    "answer_keys": _Key(
        "a list of non-empty lists of texts",
        lambda v: _is_list_of(v, lambda group: bool(group) and _is_texts(group)),
    ),
    "origin": _Key("text", _is_text),
    "split": _Key(f"one of {', '.join(SPLITS)}", lambda v: v in SPLITS),
}
_TARGET_KEYS: Mapping[str, _Key] = {
    "doc_id": _Key("text", _is_text, required=True),
    "quote": _Key("text", _is_text, required=True),
}


def _check_keys(row: object, keys: Mapping[str, _Key], what: str) -> dict[str, Any]:
    """The row as a mapping with known keys of the right kind; ValueError says which is not."""
    if not isinstance(row, dict):
        raise ValueError(f"{what} is {_short(str(row))}, not an object {{…}}")
    for name in row:
        if name not in keys:
            raise ValueError(f"unknown key {name!r} in {what}; known are {', '.join(keys)}")
    for name, key in keys.items():
        if key.required and name not in row:
            raise ValueError(f"key {name!r} is missing in {what}")
        if name in row and not key.is_right(row[name]):
            raise ValueError(f"{name} is {_short(str(row[name]))}, not {key.wanted}")
    return row
