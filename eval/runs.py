"""Questions → what was found and answered for each, by the whole and by each leg alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from eval.answers import AnswerRecord, check_answer
from eval.gold import FROM_FEEDBACK, GoldError, GoldQuestion
from eval.metrics import DEPTH, score_ranking
from eval.probing import ProbedEmbedder, Probes
from rag.errors import QuestionError
from rag.retrieval import LEGS
from rag.types import Answer, Chunk, Document, Hit, SearchResult

WHOLE = "whole"
RUNS = (WHOLE, *LEGS)
DOCUMENT_CANDIDATES = 50
"""Chunks fetched where documents are ranked, so that ten documents remain of them."""
WARM_UP = "warm-up"
"""Searched for before the clock starts: the first call of a run loads what it needs."""

Kind = Literal["gold", "squad", "beir"]
Step = Callable[[str, int, int], None]
"""Called with (what is being run, questions done, questions in all)."""


class Searcher(Protocol):
    """What is measured; `rag.assistant.Assistant` is one."""

    @property
    def embedder(self) -> ProbedEmbedder: ...

    @property
    def chunks(self) -> Sequence[Chunk]: ...

    def documents(self) -> Sequence[Document]: ...

    def search(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        legs: Collection[str] | None = None,
    ) -> SearchResult: ...

    def ask(self, question: str, *, history: Sequence[str] = ()) -> Answer: ...


@dataclass(frozen=True, slots=True)
class HitRecord:
    """A hit, and which of the question's targets it holds, by their place among the targets."""

    rank: int
    doc_id: str
    chunk_id: str
    breadcrumb: str
    start_index: int
    end_index: int
    start_line: int
    end_line: int
    score: float
    signals: Mapping[str, float]
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One question in one run; `scores` holds RANK_METRICS, nothing for one without targets."""

    query_id: str
    hits: tuple[HitRecord, ...]
    scores: Mapping[str, float]
    answerable: float
    took_ms: float

    @property
    def first_rank(self) -> int | None:
        """The best rank that holds a target, None when none of the hits does."""
        return next((hit.rank for hit in self.hits if hit.targets), None)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was measured: by run and query_id, and by query_id for the answers."""

    name: str
    kind: Kind
    questions: tuple[GoldQuestion, ...]
    documents: Mapping[str, Document]
    runs: Mapping[str, Mapping[str, RunRecord]]
    answers: Mapping[str, AnswerRecord] = field(default_factory=dict)
    probes: Probes = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def from_feedback(self) -> int:
        """How many of the questions came from readers' bad verdicts."""
        return sum(question.origin == FROM_FEEDBACK for question in self.questions)


def run_searches(
    searcher: Searcher,
    questions: Sequence[GoldQuestion],
    run: str,
    by_document: bool,
    step: Step,
) -> dict[str, RunRecord]:
    """Every question searched for once; a leg alone is run only where there is a target to find."""
    asked = [question for question in questions if run == WHOLE or question.targets]
    top_k = DOCUMENT_CANDIDATES if by_document else DEPTH
    legs = None if run == WHOLE else {run}
    records: dict[str, RunRecord] = {}
    searcher.search(WARM_UP, top_k=top_k, legs=legs)
    for done, question in enumerate(asked):
        step(run, done, len(asked))
        start = time.perf_counter()
        result = _search(searcher, question, top_k, legs)
        took_ms = (time.perf_counter() - start) * 1000
        hits = best_by_document(result.hits) if by_document else result.hits[:DEPTH]
        records[question.query_id] = record_hits(question, hits, result.answerable, took_ms)
    step(run, len(asked), len(asked))
    return records


def run_answers(
    searcher: Searcher,
    questions: Sequence[GoldQuestion],
    documents: Mapping[str, Document],
    searched: Mapping[str, RunRecord],
    step: Step,
) -> dict[str, AnswerRecord]:
    """Every question asked once, and its answer checked.

    The program remembers the latest questions, so asking one again is faster than it is to a
    user: the time given is that of its first search and of the answer made from it.
    """
    records: dict[str, AnswerRecord] = {}
    for done, question in enumerate(questions):
        step("answers", done, len(questions))
        answer = searcher.ask(question.question, history=question.history)
        took_ms = searched[question.query_id].took_ms + answer.took_ms.get("generate", 0.0)
        records[question.query_id] = check_answer(answer, question, documents, took_ms)
    step("answers", len(questions), len(questions))
    return records


def record_hits(
    question: GoldQuestion, hits: Sequence[Hit], answerable: float, took_ms: float
) -> RunRecord:
    """The hits in order, each with the targets it holds, and the question's scores."""
    found = [
        frozenset(n for n, target in enumerate(question.targets) if target.held_by(hit.chunk))
        for hit in hits
    ]
    relevances = [target.relevance for target in question.targets]
    return RunRecord(
        query_id=question.query_id,
        hits=tuple(
            _record(hit, rank, targets)
            for rank, (hit, targets) in enumerate(zip(hits, found, strict=True), start=1)
        ),
        scores=score_ranking(found, relevances) if relevances else {},
        answerable=answerable,
        took_ms=took_ms,
    )


def best_by_document(hits: Sequence[Hit]) -> list[Hit]:
    """The first hit of each document, in order: a document scores as its best chunk."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.chunk.doc_id, hit)
    return list(best.values())[:DEPTH]


def _search(
    searcher: Searcher, question: GoldQuestion, top_k: int, legs: Collection[str] | None
) -> SearchResult:
    try:
        return searcher.search(question.question, history=question.history, top_k=top_k, legs=legs)
    except QuestionError as error:
        raise GoldError([f"{question.where}: {question.query_id}: {error}"]) from error


def _record(hit: Hit, rank: int, targets: frozenset[int]) -> HitRecord:
    chunk = hit.chunk
    return HitRecord(
        rank=rank,
        doc_id=chunk.doc_id,
        chunk_id=chunk.chunk_id,
        breadcrumb=chunk.breadcrumb,
        start_index=chunk.start_index,
        end_index=chunk.end_index,
        start_line=chunk.start_line,
        end_line=chunk.end_line,
        score=float(hit.score),
        signals={name: float(value) for name, value in hit.signals.items()},
        targets=tuple(sorted(targets)),
    )
