"""A program to be measured that returns chosen hits, for the tests of eval/."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.runs import WHOLE
from rag.protocols import Matrix, TokenVectors
from rag.types import Answer, Chunk, Citation, Document, Hit, SearchResult, Statement

REFUSE_BELOW = 0.5


def make_note(doc_id: str, text: str, title: str = "") -> Document:
    return Document(doc_id, title or doc_id, text, (), (), doc_id, "hash")


def line_chunks(document: Document) -> list[Chunk]:
    """One chunk for each line, `<doc_id>#<line>`."""
    chunks: list[Chunk] = []
    start = 0
    for number, line in enumerate(document.text.split("\n"), start=1):
        end = start + len(line)
        chunk_id = f"{document.doc_id}#{number}"
        place = (start, end, number, number)
        if line:
            chunks.append(
                Chunk(chunk_id, "s1", document.doc_id, document.title, ("節",), line, *place)
            )
        start = end + 1
    return chunks


@dataclass
class CountingEmbedder:
    """A text's vector counts its characters by code point modulo 8."""

    query_prefix: str

    def embed_queries(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]:
        return count_characters([self.query_prefix + text for text in texts]), []

    def embed_passages(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]:
        return count_characters([f"passage: {text}" for text in texts]), []


def count_characters(texts: Sequence[str]) -> Matrix:
    counts = np.zeros((len(texts), 8), dtype=np.float32)
    for row, text in enumerate(texts):
        for character in text:
            counts[row, ord(character) % 8] += 1
    unit: Matrix = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    return unit


@dataclass
class ScriptedAssistant:
    """Answers from `rankings`: run → question → chunk_ids; a leg not named ranks as the whole.

    A question whose `answerable` is below REFUSE_BELOW is refused; otherwise the first hit is
    quoted. Questions that are not named find nothing and score 1.0.
    """

    notes: Sequence[Document]
    rankings: Mapping[str, Mapping[str, Sequence[str]]]
    answerable: Mapping[str, float] = field(default_factory=dict)
    query_prefix: str = "query: "
    asked: list[tuple[str, tuple[str, ...], int]] = field(default_factory=list)

    @property
    def embedder(self) -> CountingEmbedder:
        return CountingEmbedder(self.query_prefix)

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        return tuple(chunk for note in self.notes for chunk in line_chunks(note))

    def documents(self) -> tuple[Document, ...]:
        return tuple(self.notes)

    def search(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        legs: Collection[str] | None = None,
    ) -> SearchResult:
        self.asked.append((question, tuple(history), top_k))
        run = next(iter(legs)) if legs else WHOLE
        ranking = self.rankings.get(run, self.rankings[WHOLE])
        by_id = {chunk.chunk_id: chunk for chunk in self.chunks}
        hits = tuple(
            Hit(by_id[chunk_id], rank, 1 / rank, {"words": 1 / rank})
            for rank, chunk_id in enumerate(ranking.get(question, ())[:top_k], start=1)
        )
        score = self.answerable.get(question, 1.0)
        return SearchResult(question, question, hits, score, {"total": 1.0}, "snapshot")

    def ask(self, question: str, *, history: Sequence[str] = ()) -> Answer:
        found = self.search(question, history=history)
        refused = found.answerable < REFUSE_BELOW or not found.hits
        citations = () if refused else (cite(found.hits[0].chunk),)
        statements = tuple(Statement(citation.quote, (1,), 1.0) for citation in citations)
        return Answer(
            answer_id="a1",
            question=question,
            statements=statements,
            citations=citations,
            hits=found.hits,
            answerable=found.answerable,
            refused=refused,
            model="quoting",
            took_ms={},
            snapshot_id="snapshot",
        )


def cite(chunk: Chunk) -> Citation:
    return Citation(
        number=1,
        doc_id=chunk.doc_id,
        title=chunk.title,
        headings=chunk.headings,
        quote=chunk.text,
        start_index=chunk.start_index,
        end_index=chunk.end_index,
        start_line=chunk.start_line,
        end_line=chunk.end_line,
        url="",
    )
