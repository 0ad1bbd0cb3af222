"""Stages 7 and 8: SearchResult → the answer's text as it comes, then the verified Answer.

Whatever an answer model does, a reader gets an answer: where the model fails, or nothing of what
it wrote stands in the notes, the extractive answer is given and said to be so.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rag.answerability import load_parameters
from rag.citations import cite_span
from rag.comparison import compared_subjects, names_subject
from rag.config import Settings
from rag.definition import defined_subject, defines_subject
from rag.drafts import is_refusal, split_drafts
from rag.errors import GeneratorError
from rag.extraction import (
    EXTRACTIVE,
    Asked,
    Extract,
    extract_units,
    judge_units,
    statement_text,
)
from rag.generation import Generators
from rag.guarding import MAX_THREADS, guard
from rag.retrieval import Retriever
from rag.text import bigrams, words
from rag.types import Answer, SearchResult, Section, Statement
from rag.verification import Verified, Verifier

logger = logging.getLogger(__name__)

NOTHING = Verified((), ())


@dataclass(frozen=True)
class Composer:
    """Makes answers of what was found; `sections` gives those of a note."""

    settings: Settings
    retriever: Retriever
    generators: Generators
    sections: Callable[[str], Sequence[Section]]
    model_threads: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(MAX_THREADS)
    )

    def compose(
        self, result: SearchResult, history: Sequence[str], model: str | None
    ) -> Iterator[str | Answer]:
        """Pieces of text, then the Answer; raises GeneratorError only for an unknown model.

        An empty piece says that the model is at work: a moment to close this iterator.

        What a model wrote is not verified before it is complete: the Answer replaces the pieces.
        """
        name = self.generators.default if model is None else self.generators.check(model)
        started = time.perf_counter()
        failure: GeneratorError | None = None
        verified = NOTHING
        writer = name
        if self._likely(result):
            if name != EXTRACTIVE:
                try:
                    verified = yield from self._generate(name, result, history)
                except GeneratorError as error:
                    logger.warning("%s; answering by extraction (%s)", error, error.reason)
                    failure, writer = error, EXTRACTIVE
            if writer == EXTRACTIVE:
                verified = self._extract(result)
        answer = _answer(result, verified, writer, (time.perf_counter() - started) * 1000)
        if failure is not None:
            answer = replace(answer, failed_model=name, fallback_reason=failure.reason)
        elif writer == EXTRACTIVE:
            yield from answer.text.splitlines(keepends=True)
        yield answer

    def _likely(self, result: SearchResult) -> bool:
        threshold = self.settings.answer_threshold
        if threshold is None:
            threshold = load_parameters()["threshold"]
        return bool(result.hits) and result.answerable >= threshold

    def _generate(
        self, name: str, result: SearchResult, history: Sequence[str]
    ) -> Generator[str, None, Verified]:
        """Yields the model's text as it comes and returns what is left of it after verification."""
        generator = self.generators.open(name)
        pieces: list[str] = []
        guarded = guard(
            lambda: generator.generate(result.question, result.hits, history),
            self.settings.answer_timeout_seconds,
            self.settings.max_answer_chars,
            self.model_threads,
        )
        for piece in guarded:
            pieces.append(piece)
            yield piece
        text = "".join(pieces)
        if is_refusal(text):
            return NOTHING
        drafts = split_drafts(text)
        if not drafts:
            raise GeneratorError(f"answer model {name!r} gave no text", "empty")
        retriever = self.retriever
        verifier = Verifier(retriever.snapshot, retriever.embed, retriever.aliases)
        verified = verifier.verify(drafts, result.hits, self._sections_of(result))
        if not verified.confirmed:
            raise GeneratorError(f"the notes confirm nothing of what {name!r} wrote", "unconfirmed")
        return verified

    def _extract(self, result: SearchResult) -> Verified:
        snapshot = self.retriever.snapshot
        units = extract_units(snapshot, self._ask(result), result.hits, self._sections_of(result))
        statements = []
        citations = []
        for number, unit in enumerate(units, start=1):
            document = snapshot.documents[unit.hit.chunk.doc_id]
            citations.append(
                cite_span(document, unit.hit, number, unit.start_index, unit.whole_end)
            )
            statements.append(Statement(statement_text(unit), (number,), support=1.0))
        return Verified(tuple(statements), tuple(citations))

    def candidates(self, result: SearchResult) -> list[Extract]:
        """Every unit that an extractive answer may take, with what speaks for it."""
        snapshot, sections = self.retriever.snapshot, self._sections_of(result)
        return judge_units(snapshot, self._ask(result), result.hits, sections)

    def _ask(self, result: SearchResult) -> Asked:
        aliases = self.retriever.aliases
        question = result.search_question
        vector, tokens = self.retriever.embed(question)
        names = aliases.expansions(question)
        terms = [*bigrams(question), *(term for name in names for term in bigrams(name))]
        compared = compared_subjects(result.question)
        sides = tuple(
            partial(names_subject, subject=subject, aliases=aliases) for subject in compared
        )
        subjects = compared or (defined_subject(result.question),)
        defines = partial(defines_subject, subjects=subjects, aliases=aliases)
        return Asked(vector, tokens, frozenset(terms), frozenset(words(question)), defines, sides)

    def _sections_of(self, result: SearchResult) -> list[Section]:
        doc_ids = dict.fromkeys(hit.chunk.doc_id for hit in result.hits)
        return [section for doc_id in doc_ids for section in self.sections(doc_id)]


def _answer(result: SearchResult, verified: Verified, model: str, generate_ms: float) -> Answer:
    return Answer(
        answer_id=uuid.uuid4().hex,
        question=result.question,
        statements=verified.statements,
        citations=verified.citations,
        hits=result.hits,
        answerable=result.answerable,
        refused=not verified.statements,
        model=model,
        took_ms={
            **result.took_ms,
            "generate": generate_ms,
            "total": result.took_ms["total"] + generate_ms,
        },
        snapshot_id=result.snapshot_id,
    )
