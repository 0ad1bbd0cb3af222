"""Stages 6–8 in order: what the page, the API, Slack and eval call."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from rag.aliases import load_aliases
from rag.answerability import load_parameters
from rag.citations import cite_span
from rag.config import Settings
from rag.embedding import open_embedder
from rag.errors import GeneratorError, NotFoundError
from rag.generation import EXTRACTIVE, extract_units, statement_text
from rag.indexing import Report, build_snapshot, fresh_snapshot
from rag.parsing import parse_document
from rag.protocols import Embedder
from rag.retrieval import Retriever
from rag.snapshot import Snapshot
from rag.types import Answer, Chunk, Citation, Document, SearchResult, Section, Statement


def _one_thread_a_question() -> None:
    """The arrays of one question are small: sharing one out among threads that must meet again
    costs far more than it saves, ten times as much when another program holds a processor.
    """
    ThreadpoolController().select(internal_api="openblas").limit(limits=1)


def silent(stage: str, done: int, total: int) -> None:
    """A report that goes nowhere."""


class Assistant:
    """Answers from one snapshot of the notes; all methods may be called from several threads."""

    def __init__(
        self, settings: Settings, snapshot: Snapshot, embedder: Embedder, retriever: Retriever
    ) -> None:
        self.settings = settings
        self.snapshot = snapshot
        self.embedder = embedder
        self.retriever = retriever
        _one_thread_a_question()
        self._sections = lru_cache(maxsize=512)(self._parse)

    @classmethod
    def open(cls, settings: Settings, report: Report = silent) -> Assistant:
        """The assistant over the notes as they are now, indexing first where they changed."""
        embedder = open_embedder(
            settings.embedder, lambda done, total: report("model", done, total)
        )
        snapshot, _ = fresh_snapshot(settings, embedder, report)
        return cls._over(settings, snapshot, embedder, with_corpus_aliases=True)

    @classmethod
    def from_documents(
        cls, documents: Sequence[Document], settings: Settings, report: Report = silent
    ) -> Assistant:
        """An assistant over documents in memory; nothing is written."""
        embedder = open_embedder(
            settings.embedder, lambda done, total: report("model", done, total)
        )
        snapshot = build_snapshot(documents, settings, embedder, report)
        return cls._over(settings, snapshot, embedder, with_corpus_aliases=False)

    @classmethod
    def _over(
        cls, settings: Settings, snapshot: Snapshot, embedder: Embedder, with_corpus_aliases: bool
    ) -> Assistant:
        corpus = settings.corpus if with_corpus_aliases else None
        aliases = load_aliases(snapshot.documents.values(), corpus)
        retriever = Retriever(
            snapshot, embedder, aliases, max_question_chars=settings.max_question_chars
        )
        return cls(settings, snapshot, embedder, retriever)

    @property
    def snapshot_id(self) -> str:
        """Which snapshot answers."""
        return self.snapshot.manifest.snapshot_id

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the answer models, the default first."""
        return (EXTRACTIVE,)

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags of the notes, the commonest first."""
        by_tag = self.snapshot.rows_by_tag
        return tuple(sorted(by_tag, key=lambda tag: (-len(by_tag[tag]), tag)))

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks, in the order of the notes."""
        return tuple(self.snapshot.chunks)

    def documents(self) -> tuple[Document, ...]:
        """All notes, as they were when the snapshot was made."""
        return tuple(self.snapshot.documents.values())

    def document(self, doc_id: str) -> Document:
        """One note; raises NotFoundError."""
        found = self.snapshot.documents.get(doc_id)
        if found is None:
            raise NotFoundError(f"no note {doc_id!r}; GET /api/documents lists them")
        return found

    def sections(self, doc_id: str) -> tuple[Section, ...]:
        """A note's sections in order; raises NotFoundError."""
        self.document(doc_id)
        return self._sections(doc_id)

    def _parse(self, doc_id: str) -> tuple[Section, ...]:
        return parse_document(self.document(doc_id))

    def search(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        legs: Collection[str] | None = None,
    ) -> SearchResult:
        """The best passages; raises QuestionError."""
        return self.retriever.search(question, history=history, top_k=top_k, tags=tags, legs=legs)

    def ask(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        model: str | None = None,
    ) -> Answer:
        """A cited answer, or a refusal; raises QuestionError and GeneratorError."""
        result = self.search(question, history=history, top_k=top_k, tags=tags)
        return self.answer(result, model)

    def stream(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        model: str | None = None,
    ) -> Iterator[SearchResult | str | Answer]:
        """The SearchResult, then the answer's text in pieces, then the whole Answer."""
        result = self.search(question, history=history, top_k=top_k, tags=tags)
        yield result
        answer = self.answer(result, model)
        yield from answer.text.splitlines(keepends=True)
        yield answer

    def answer(self, result: SearchResult, model: str | None = None) -> Answer:
        """An answer from what was found."""
        if model not in (None, *self.models):
            raise GeneratorError(f"no answer model {model!r}; choose one of {list(self.models)}")
        started = time.perf_counter()
        statements: tuple[Statement, ...] = ()
        citations: tuple[Citation, ...] = ()
        threshold = self.settings.answer_threshold
        if threshold is None:
            threshold = load_parameters()["threshold"]
        if result.hits and result.answerable >= threshold:
            statements, citations = self._extract(result)
        generate_ms = (time.perf_counter() - started) * 1000
        took_ms = {**result.took_ms, "generate": generate_ms}
        return Answer(
            answer_id=uuid.uuid4().hex,
            question=result.question,
            statements=statements,
            citations=citations,
            hits=result.hits,
            answerable=result.answerable,
            refused=not statements,
            model=EXTRACTIVE,
            took_ms=took_ms | {"total": result.took_ms["total"] + generate_ms},
            snapshot_id=result.snapshot_id,
        )

    def _extract(self, result: SearchResult) -> tuple[tuple[Statement, ...], tuple[Citation, ...]]:
        _, tokens = self.retriever.embed(result.search_question)
        doc_ids = dict.fromkeys(hit.chunk.doc_id for hit in result.hits)
        sections = [section for doc_id in doc_ids for section in self.sections(doc_id)]
        units = extract_units(self.snapshot, tokens.vectors, result.hits, sections)
        statements = []
        citations = []
        for number, unit in enumerate(units, start=1):
            document = self.document(unit.hit.chunk.doc_id)
            citations.append(
                cite_span(document, unit.hit, number, unit.start_index, unit.end_index)
            )
            statements.append(Statement(statement_text(unit), (number,), support=1.0))
        return tuple(statements), tuple(citations)
