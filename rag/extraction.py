"""Stage 7, the default: question + Hits → units of the notes that answer it, word for word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag.protocols import Matrix, TokenVectors
from rag.snapshot import Snapshot
from rag.text import bigrams, normalize_for_search, plain_text, words
from rag.types import Hit, Section
from rag.units import Unit, met_tokens, sections_of, units_of

EXTRACTIVE = "extractive"
MAX_STATEMENTS = 5
MAX_PER_HIT = 4
RANK_DISCOUNT = 0.012
MAX_GAP = 0.06
LEAD_IN_DISCOUNT = 0.04
"""What only announces a list (「次のとおり」) answers worse than the list itself."""
DUPLICATE_OVERLAP = 0.7
_LEAD_IN = re.compile(
    r"(?:次|以下)の?(?:とおり|通り|ように|表|[0-9０-９一二三四五]+ ?(?:つ|点|種類)).{0,12}$|[:：]$"
)


@dataclass(frozen=True, slots=True)
class Extract:
    """A unit and how well it answers."""

    unit: Unit
    score: float


def extract_units(
    snapshot: Snapshot, query: TokenVectors, hits: Sequence[Hit], sections: Sequence[Section]
) -> list[Unit]:
    """At most `MAX_STATEMENTS` units, best first; `sections` are those of the notes hit."""
    weights = snapshot.tokens.weights(query.ids)
    candidates = [
        Extract(unit, _score(snapshot, unit, query.vectors, weights))
        for hit in hits
        for unit in units_of(snapshot, hit, sections_of(hit, sections))
        if len(query.ids)
    ]
    candidates.sort(key=lambda candidate: -candidate.score)
    chosen: list[Unit] = []
    for candidate in candidates:
        if candidate.score < candidates[0].score - MAX_GAP:
            break
        _choose(chosen, candidate.unit)
        if len(chosen) == MAX_STATEMENTS:
            break
    return chosen


def statement_text(unit: Unit) -> str:
    """The unit as part of an answer: its subject in front where only a heading names it, what it
    owns as bullets below.
    """
    named = normalize_for_search(unit.text)
    path = list(dict.fromkeys(part for part in unit.path if part))
    missing = [part for part in path[-2:] if not _named_in(part, named)]
    subject = " › ".join(missing)
    line = " ".join((f"{subject}：{unit.text}" if subject else unit.text).split())
    return "\n".join([line, *(f"- {' '.join(child.split())}" for child in unit.children)])


def _score(snapshot: Snapshot, unit: Unit, query: Matrix, weights: Matrix) -> float:
    met = met_tokens(snapshot, unit, query)
    total = float(weights.sum())
    score = float(met @ weights) / total if total else float(np.mean(met))
    lead_in = not unit.children and bool(_LEAD_IN.search(unit.text))
    return score - RANK_DISCOUNT * (unit.hit.rank - 1) - LEAD_IN_DISCOUNT * lead_in


def _choose(chosen: list[Unit], unit: Unit) -> None:
    """Adds the unit unless it says what is said already; one that owns a chosen one takes it in."""
    inside = [
        number
        for number, other in enumerate(chosen)
        if other.hit.chunk.doc_id == unit.hit.chunk.doc_id
        and unit.start_index <= other.start_index
        and other.whole_end <= unit.whole_end
    ]
    if inside:
        chosen[inside[0]] = unit
        for number in reversed(inside[1:]):
            del chosen[number]
        return
    of_hit = sum(other.hit.rank == unit.hit.rank for other in chosen)
    if of_hit < MAX_PER_HIT and not any(_says_again(unit, other) for other in chosen):
        chosen.append(unit)


def _says_again(unit: Unit, other: Unit) -> bool:
    same_note = unit.hit.chunk.doc_id == other.hit.chunk.doc_id
    if same_note and other.start_index <= unit.start_index < other.whole_end:
        return True
    a, b = set(bigrams(plain_text(unit.text))), set(bigrams(plain_text(other.text)))
    if not (a and b):
        return unit.text == other.text
    return len(a & b) / min(len(a), len(b)) >= DUPLICATE_OVERLAP


def _named_in(heading: str, text: str) -> bool:
    terms = set(words(heading))
    if normalize_for_search(heading) in text:
        return True
    return bool(terms) and sum(term in text for term in terms) >= len(terms) / 2
