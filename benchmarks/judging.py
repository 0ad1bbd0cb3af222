"""Passages that a system returned → which of a question's targets each holds, and the scores.

The rule is that of `kotae eval`: a passage holds a quote when it covers at least half of the
quote's characters at one of the places where the note has it. A peer returns text, not offsets, and
may have changed white space: so its place is looked for with all white space left out. A passage
that is not a literal part of its note holds a quote when the two share a run of at least half of
the quote's characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from eval.gold import GoldQuestion, Target
from eval.metrics import DEPTH, score_ranking
from rag.types import Document

Passages = Sequence[tuple[str, str]]
"""(doc_id, text), best first."""


def score_passages(
    question: GoldQuestion, passages: Passages, documents: Mapping[str, Document]
) -> dict[str, float]:
    """The metrics of `kotae eval` for one question about notes."""
    found = [
        frozenset(
            number
            for number, target in enumerate(question.targets)
            if holds(target, doc_id, text, documents)
        )
        for doc_id, text in passages[:DEPTH]
    ]
    return score_ranking(found, [target.relevance for target in question.targets])


def score_documents(question: GoldQuestion, passages: Passages) -> dict[str, float]:
    """The same for a public set, where a document is as good as its best passage."""
    ranking = list(dict.fromkeys(doc_id for doc_id, _ in passages))[:DEPTH]
    numbers = {target.doc_id: number for number, target in enumerate(question.targets)}
    found = [frozenset({numbers[doc_id]} if doc_id in numbers else ()) for doc_id in ranking]
    return score_ranking(found, [target.relevance for target in question.targets])


def holds(target: Target, doc_id: str, text: str, documents: Mapping[str, Document]) -> bool:
    """Whether a passage of that note holds the target."""
    if doc_id != target.doc_id:
        return False
    places = list(places_of(text, documents[doc_id].text))
    if places:
        return any(target.is_covered(start, end) for start, end in places)
    quote, squeezed = _squeeze(target.quote)[0], _squeeze(text)[0]
    match = SequenceMatcher(None, quote, squeezed, autojunk=False).find_longest_match()
    return 2 * match.size >= len(quote)


def places_of(passage: str, note: str) -> Iterator[tuple[int, int]]:
    """(start, end) in the note of each place where the passage stands, white space apart."""
    wanted, _ = _squeeze(passage)
    squeezed, positions = _squeeze(note)
    at = squeezed.find(wanted) if wanted else -1
    while at >= 0:
        yield positions[at], positions[at + len(wanted) - 1] + 1
        at = squeezed.find(wanted, at + 1)


@lru_cache(maxsize=4096)
def _squeeze(text: str) -> tuple[str, tuple[int, ...]]:
    """The text without white space, and where each character left stood."""
    positions = tuple(at for at, character in enumerate(text) if not character.isspace())
    return "".join(text[at] for at in positions), positions
