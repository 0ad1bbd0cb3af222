"""Checks an answer from outside: does it hold the answer keys, is every citation what it says."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.gold import GoldQuestion
from rag.types import Answer, Citation, Document


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """What an answer was and what was found wrong with it.

    `key_right` is None for a question without answer keys. `faults` names each citation that is
    not what it says; `invalid_count` of `citation_count` citations have one.
    """

    text: str
    refused: bool
    answerable: float
    model: str
    key_right: bool | None
    citation_count: int
    invalid_count: int
    statement_count: int
    cited_count: int
    faults: tuple[str, ...]
    took_ms: float


def check_answer(
    answer: Answer, question: GoldQuestion, documents: Mapping[str, Document], took_ms: float
) -> AnswerRecord:
    """Everything that can be told of one answer without a model."""
    texts = [statement.text for statement in answer.statements]
    faults_of = [citation_faults(citation, answer, documents) for citation in answer.citations]
    numbers = {citation.number for citation in answer.citations}
    cited = [
        s for s in answer.statements if s.citation_numbers and numbers >= {*s.citation_numbers}
    ]
    keys = question.answer_keys
    return AnswerRecord(
        text=answer.text,
        refused=answer.refused,
        answerable=answer.answerable,
        model=answer.model,
        key_right=holds_keys(texts, keys) if keys else None,
        citation_count=len(faults_of),
        invalid_count=sum(map(bool, faults_of)),
        statement_count=len(texts),
        cited_count=len(cited),
        faults=tuple(fault for faults in faults_of for fault in faults),
        took_ms=took_ms,
    )


def holds_keys(texts: Sequence[str], answer_keys: Sequence[Sequence[str]]) -> bool:
    """One string of each group stands in one of the texts, compared by `comparable`."""
    said = [comparable(text) for text in texts]
    return all(
        any(comparable(key) in text for key in group for text in said) for group in answer_keys
    )


def comparable(text: str) -> str:
    """NFKC, lower case, white space dropped."""
    return "".join(unicodedata.normalize("NFKC", text).lower().split())


def citation_faults(
    citation: Citation, answer: Answer, documents: Mapping[str, Document]
) -> list[str]:
    """How the citation differs from the note: quote, lines, or a note that was not retrieved."""
    document = documents.get(citation.doc_id)
    label = f"[{citation.number}] {citation.doc_id}"
    if document is None:
        return [f"{label}: no such note"]
    faults: list[str] = []
    start, end = citation.start_index, citation.end_index
    if not citation.quote or document.text[start:end] != citation.quote:
        faults.append(f"{label}: the note at {start}–{end} does not read as quoted")
    lines = line_of(document.text, start), line_of(document.text, max(start, end - 1))
    if lines != (citation.start_line, citation.end_line):
        faults.append(
            f"{label}: lines {citation.start_line}–{citation.end_line}, "
            f"in the note {lines[0]}–{lines[1]}"
        )
    if citation.doc_id not in {hit.chunk.doc_id for hit in answer.hits}:
        faults.append(f"{label}: a note that was not retrieved")
    return faults


def line_of(text: str, index: int) -> int:
    """The line, counted from 1, on which the character at `index` stands."""
    return text.count("\n", 0, index) + 1
