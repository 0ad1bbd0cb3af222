"""Stages 6–8 in order: what the page, the API, Slack and eval call."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from rag.aliases import load_aliases
from rag.comparison import compared_subjects, with_both_sides
from rag.composing import Composer
from rag.config import Settings
from rag.embedding import open_embedder
from rag.embedding_run import Report
from rag.errors import NotFoundError
from rag.extraction import Extract
from rag.generation import Generators
from rag.indexing import build_snapshot, ensure_published, fresh_snapshot, recipe_of
from rag.parsing import parse_document
from rag.protocols import Embedder, Reranker
from rag.qdrant_collection import searched
from rag.reranking import open_reranker
from rag.retrieval import Retriever
from rag.snapshot import Snapshot, open_snapshot
from rag.snapshot_folders import id_in_use
from rag.types import Answer, Chunk, Document, SearchResult, Section


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
        self,
        settings: Settings,
        snapshot: Snapshot,
        embedder: Embedder,
        retriever: Retriever,
        generators: Generators | None = None,
    ) -> None:
        self.settings = settings
        self.snapshot = snapshot
        self.embedder = embedder
        self.retriever = retriever
        _one_thread_a_question()
        self._sections = lru_cache(maxsize=512)(self._parse)
        self._generators = generators or Generators(settings)
        _ = self._generators.default  # a wrong one is told now, not to the first reader
        self._composer = Composer(settings, retriever, self._generators, self.sections)

    @classmethod
    def open(cls, settings: Settings, report: Report = silent) -> Assistant:
        """The assistant over the notes as they are now, indexing first where they changed."""
        embedder = open_embedder(
            settings.embedder, lambda done, total: report("model", done, total)
        )
        snapshot, _ = fresh_snapshot(settings, embedder, report)
        ensure_published(snapshot, settings)
        reranker = open_reranker(settings.reranker)
        return cls._over(settings, snapshot, embedder, reranker, with_corpus_aliases=True)

    @classmethod
    def from_documents(
        cls, documents: Sequence[Document], settings: Settings, report: Report = silent
    ) -> Assistant:
        """An assistant over documents in memory; nothing is written."""
        embedder = open_embedder(
            settings.embedder, lambda done, total: report("model", done, total)
        )
        snapshot = build_snapshot(documents, settings, embedder, report)
        reranker = open_reranker(settings.reranker)
        return cls._over(settings, snapshot, embedder, reranker, with_corpus_aliases=False)

    def renewed(self, *, reindex: bool) -> Assistant | None:
        """An assistant over the newest snapshot and aliases; None when these are what this has.

        `reindex` brings the index up to date with the notes first; else only what another process
        has written is taken up. Models are shared, and this one answers as before.
        """
        if reindex:
            snapshot, _ = fresh_snapshot(self.settings, self.embedder, silent, known=self.snapshot)
        elif id_in_use(self.settings.index, default=self.snapshot_id) == self.snapshot_id:
            return None
        else:
            recipe = recipe_of(self.settings, self.embedder)
            snapshot = open_snapshot(self.settings.index, recipe)
        newer = Assistant._over(
            self.settings, snapshot, self.embedder, self.retriever.reranker, True, self._generators
        )
        same = snapshot.manifest == self.snapshot.manifest
        return None if same and newer.retriever.aliases == self.retriever.aliases else newer

    @classmethod
    def _over(
        cls,
        settings: Settings,
        snapshot: Snapshot,
        embedder: Embedder,
        reranker: Reranker | None,
        with_corpus_aliases: bool,
        generators: Generators | None = None,
    ) -> Assistant:
        corpus = settings.corpus if with_corpus_aliases else None
        aliases = load_aliases(snapshot.documents.values(), corpus)
        if with_corpus_aliases:
            snapshot = searched(snapshot, settings)
        retriever = Retriever(
            snapshot,
            embedder,
            aliases,
            max_question_chars=settings.max_question_chars,
            reranker=reranker,
        )
        return cls(settings, snapshot, embedder, retriever, generators)

    @property
    def snapshot_id(self) -> str:
        """Which snapshot answers."""
        return self.snapshot.manifest.snapshot_id

    @property
    def built_at(self) -> str:
        """When that snapshot was built, ISO 8601."""
        return self.snapshot.manifest.built_at

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the answer models, the default first."""
        return self._generators.names

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
        """A cited answer, or a refusal; raises QuestionError, GeneratorError for no such model."""
        pieces = self.stream(question, history=history, top_k=top_k, tags=tags, model=model)
        return next(piece for piece in pieces if isinstance(piece, Answer))

    def stream(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        model: str | None = None,
    ) -> Iterator[SearchResult | str | Answer]:
        """The SearchResult, then the answer's text in pieces, then the whole Answer, verified.

        Empty pieces say that the model is at work; closing the iterator stops it.
        """
        result = self.search(question, history=history, top_k=top_k, tags=tags)
        result = with_both_sides(
            result,
            compared_subjects(question),
            self.retriever.aliases,
            lambda subject: self.search(subject, top_k=top_k, tags=tags),
        )
        yield result
        yield from self._composer.compose(result, history, model)

    def candidates(self, result: SearchResult) -> list[Extract]:
        """Every unit that an extractive answer to the question may take; for `eval`."""
        return self._composer.candidates(result)
