"""Stage 6: question (and those before it) → Hits, best first, and whether they answer it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from rag.aliases import Aliases
from rag.answerability import answerability_signals, answerable_probability
from rag.best_units import BestUnits
from rag.chunking import embedding_text
from rag.errors import QuestionError
from rag.followup import (
    BothWays,
    Leaning,
    belongs_to_context,
    context_of,
    leaning_of,
    subject_words,
)
from rag.fusion import fuse, min_max, top_rows
from rag.names import unknown_names
from rag.protocols import Embedder, Matrix, Reranker, TokenVectors
from rag.reranking import RERANKED
from rag.snapshot import Snapshot
from rag.text import bigrams, words
from rag.types import Hit, SearchResult

LEGS = ("dense", "words", "bigrams", "late")
REMEMBERED_QUESTIONS = 256
UNITS_READ = 8
"""Of so many chunks, the best so far, the best unit is looked for: a lower one hardly rises."""
ELSEWHERE_CHUNKS = 100
"""So many chunks tell how well a question's words are met in any."""


Ranked = tuple[int, float, dict[str, float]]
"""A chunk's row, its score, and what each leg thought of it."""


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Weights of the legs' min–max scores; how each was chosen stands in docs/retrieval.md."""

    dense: float = 0.8
    words: float = 0.2
    bigrams: float = 0.15
    late: float = 1.0
    unit: float = 0.5
    alias: float = 0.5
    history: float = 0.5
    candidate_k: int = 64


@dataclass(frozen=True, slots=True)
class Query:
    """A question made ready: its text for the embedder, its weighted terms for the lexical legs."""

    text: str
    words: Mapping[str, float]
    bigrams: Mapping[str, float]
    vector: Matrix
    tokens: TokenVectors
    unknown_names: tuple[str, ...]


@dataclass(frozen=True)
class Retriever:
    """Searches one snapshot; safe to call from several threads."""

    snapshot: Snapshot
    embedder: Embedder
    aliases: Aliases
    weights: FusionWeights = field(default_factory=FusionWeights)
    max_question_chars: int = 2000
    reranker: Reranker | None = None

    def search(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        legs: Collection[str] | None = None,
    ) -> SearchResult:
        """The best `top_k` chunks; `tags` keeps notes with any of them, `legs` asks some alone.

        Raises QuestionError for an empty or too long question, ValueError for what a program
        got wrong: `top_k` below 1, a leg that does not exist.
        """
        started = time.perf_counter()
        self.check_question(question)
        if top_k < 1 or not set(legs or LEGS) <= set(LEGS):
            raise ValueError(f"top_k = {top_k} must be 1 or more, legs = {legs} among {LEGS}")
        before = context_of(history)
        leaning = leaning_of(question) if before else Leaning.ALONE
        contexts = [""] if leaning is Leaning.ALONE else ["", before]
        queries = [self._prepare(question, context) for context in contexts]
        embedded = time.perf_counter()
        found = [self._find(query, tags, top_k, frozenset(legs or LEGS)) for query in queries]
        query, hits = self._better_supported(leaning, found)
        signals = self._signals(query, hits)
        finished = time.perf_counter()
        return SearchResult(
            question=question,
            search_question=query.text,
            hits=hits,
            answerable=answerable_probability(signals),
            answerability_signals=signals,
            took_ms={
                "embed": (embedded - started) * 1000,
                "search": (finished - embedded) * 1000,
                "total": (finished - started) * 1000,
            },
            snapshot_id=self.snapshot.manifest.snapshot_id,
        )

    def embed(self, text: str) -> tuple[Matrix, TokenVectors]:
        """Vector, shape (dim,), and token vectors of a question; the latest are remembered."""
        return self._embed_once(text)

    @cached_property
    def _embed_once(self) -> Callable[[str], tuple[Matrix, TokenVectors]]:
        @lru_cache(maxsize=REMEMBERED_QUESTIONS)
        def embed(text: str) -> tuple[Matrix, TokenVectors]:
            vectors, tokens = self.embedder.embed_queries([text])
            return vectors[0], tokens[0]

        return embed

    def check_question(self, question: str) -> None:
        """Raises QuestionError when it cannot be searched for."""
        if not question.strip():
            raise QuestionError("the question is empty; type what you want to know")
        if len(question) > self.max_question_chars:
            raise QuestionError(
                f"the question has {len(question)} characters, over the limit of "
                f"{self.max_question_chars}; shorten it"
            )

    def _better_supported(
        self, leaning: Leaning, found: Sequence[tuple[Query, tuple[Hit, ...]]]
    ) -> tuple[Query, tuple[Hit, ...]]:
        """What was found for the question alone, or, behind it, with its context."""
        alone, joined = found[0], found[-1]
        if joined is alone or not alone[1]:
            return alone
        own, tokens = alone[0].tokens, self.snapshot.tokens
        best = [self.snapshot.row_of[hits[0].chunk.chunk_id] for _, hits in found]
        step = max(1, tokens.size // ELSEWHERE_CHUNKS)
        rows = [*best, *range(0, tokens.size, step)]
        met = tokens.scores(own.vectors, tokens.weights(own.ids), rows)
        searched = BothWays(
            not any(self._is_known(word) for word in subject_words(alone[0].text)),
            answerable_probability(self._signals(*alone)),
            float(met[0]),
            float(met[1]),
            met[2:],
        )
        return joined if belongs_to_context(leaning, searched) else alone

    def _is_known(self, word: str) -> bool:
        known = self.snapshot.words.document_frequency(word)
        return bool(known) or word in self.aliases.words

    def _prepare(self, question: str, before: str) -> Query:
        text = f"{before} {question.strip()}".strip()
        own_words = words(question)
        unknown = unknown_names(own_words, self.snapshot, self.aliases)
        word_weights = dict.fromkeys(own_words, 1.0)
        bigram_weights = dict.fromkeys(bigrams(question), 1.0)
        _add(word_weights, words(before), self.weights.history)
        _add(bigram_weights, bigrams(before), self.weights.history)
        for name in self.aliases.expansions(text):
            _add(word_weights, words(name), self.weights.alias)
            _add(bigram_weights, bigrams(name), self.weights.alias)
        vector, tokens = self.embed(text)
        return Query(text, word_weights, bigram_weights, vector, tokens, tuple(unknown))

    def _find(
        self, query: Query, tags: Sequence[str], top_k: int, legs: Collection[str]
    ) -> tuple[Query, tuple[Hit, ...]]:
        scores, rows = self._score(query, tags), self._rows(tags)
        if self.reranker is None or legs != set(LEGS):
            ranked = self._rank(query, scores, rows, top_k, legs)
        else:
            ranked = self._rank(query, scores, rows, max(top_k, RERANKED), legs)
            ranked = self._reranked(self.reranker, query, ranked)[:top_k]
        hits = (
            Hit(self.snapshot.chunks[row], rank, score, signals)
            for rank, (row, score, signals) in enumerate(ranked, start=1)
        )
        return query, tuple(hits)

    def _signals(self, query: Query, hits: Sequence[Hit]) -> dict[str, float]:
        if not hits:
            return {}
        return answerability_signals(
            self.snapshot,
            query.text,
            query.bigrams,
            query.tokens,
            query.unknown_names,
            hits[0],
        )

    def _score(self, query: Query, tags: Sequence[str]) -> dict[str, Matrix]:
        """Each first-stage leg's score of every chunk."""
        return {
            "dense": self.snapshot.dense.scores(query.vector, tags),
            "words": self.snapshot.words.scores(query.words, tags),
            "bigrams": self.snapshot.bigrams.scores(query.bigrams, tags),
        }

    def _rows(self, tags: Sequence[str]) -> npt.NDArray[np.int64]:
        if not tags:
            return np.arange(len(self.snapshot.chunks))
        by_tag = self.snapshot.rows_by_tag
        found = [by_tag[tag] for tag in tags if tag in by_tag]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *found]))

    def _rank(
        self,
        query: Query,
        scores: Mapping[str, Matrix],
        rows: npt.NDArray[np.int64],
        top_k: int,
        legs: Collection[str],
    ) -> list[Ranked]:
        """Best first."""
        if not len(rows):
            return []
        among = {
            name: leg if len(rows) == len(leg) else leg[rows]  # all of them are never copied
            for name, leg in scores.items()
            if name in legs
        }
        if among:
            weights = {name: getattr(self.weights, name) for name in among}
            first = fuse(among, weights)
            positions = top_rows(first, max(self.weights.candidate_k, top_k))
        else:
            first = np.zeros(len(rows), dtype=np.float32)
            positions = list(range(len(rows)))
        candidates = [int(rows[position]) for position in positions]
        token_weights = self.snapshot.tokens.weights(query.tokens.ids)
        late = self.snapshot.tokens.scores(query.tokens.vectors, token_weights, candidates)
        total = first[positions]
        if "late" in legs:
            total = total + self.weights.late * min_max(late)
            self._add_units(total, late, query, candidates)
        return [
            (
                candidates[position],
                float(total[position]),
                {name: float(leg[candidates[position]]) for name, leg in scores.items()}
                | {"late": float(late[position])},
            )
            for position in top_rows(total, top_k)
        ]

    def _add_units(
        self, total: Matrix, late: Matrix, query: Query, candidates: Sequence[int]
    ) -> None:
        """Adds to the best totals what each one's best unit scores, on the scale of `late`."""
        spread = float(np.ptp(late))
        if spread > 0:
            best = top_rows(total, UNITS_READ)
            units = self._best_units.scores(query.tokens, [candidates[at] for at in best])
            total[best] += self.weights.unit * (units - late.min()) / spread

    @cached_property
    def _best_units(self) -> BestUnits:
        return BestUnits(self.snapshot)

    def _reranked(self, reranker: Reranker, query: Query, ranked: Sequence[Ranked]) -> list[Ranked]:
        """The same by the reranker's scores."""
        texts = [embedding_text(self.snapshot.chunks[row]) for row, _, _ in ranked]
        scores = reranker.score(query.text, texts)
        rescored = [
            (row, score, signals | {"rerank": score})
            for score, (row, _, signals) in zip(scores, ranked, strict=True)
        ]
        return sorted(rescored, key=lambda found: -found[1])


def _add(terms: dict[str, float], more: Sequence[str], weight: float) -> None:
    for term in more:
        terms.setdefault(term, weight)
