"""Stage 7, the default: question + Hits → units of the notes that answer it, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rag.protocols import Matrix, TokenVectors
from rag.snapshot import Snapshot
from rag.text import bigrams, normalize_for_search, plain_text, words
from rag.types import Hit, Section
from rag.units import LEAD_IN, Unit, met_tokens, sections_of, units_of, vector_similarity

EXTRACTIVE = "extractive"
MAX_STATEMENTS = 5
MAX_PER_HIT = 4
WEIGHTS: Final[Mapping[str, float]] = {
    "late": 0.8,
    "dense": 1.5,
    "terms": 0.5,
    "words": 0.3,
    "hit": 0.25,
    "rank": -0.015,
    "lead_in": -0.04,
    "defines": 0.15,
}
"""Of what speaks for a unit. The first six are near those of `python -m eval.fit_extraction`; the
last two were chosen by hand (docs/answers.md)."""
GAPS = (0.45, 0.35, 0.3, 0.25)
"""How far behind the best unit the second may stay, the third, …: each has to be better than that,
for what is left out seldom is the answer, and what is not hides it."""
CLEAR_COVERAGE = 0.6
CLEAR_SHARE = 0.55
"""Where the best unit holds most of what the question's terms tell, less needs to stand beside it:
this share of the gaps."""
DUPLICATE_OVERLAP = 0.7
_FILE_NUMBER = re.compile(r"[0-9a-f_-]*[0-9][0-9a-f_-]*")
"""The title of a note that has none but its file's name: says nothing to a reader."""
_STEP = re.compile(r"[(（]?[0-9０-９]{1,2}[.)．）]|[①-⑳]")


def _defines_nothing(text: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Asked:
    """A question made ready: its vectors, its words, its bigrams with those of other names."""

    vector: Matrix
    tokens: TokenVectors
    terms: frozenset[str]
    words: frozenset[str] = frozenset()
    defines: Callable[[str], bool] = _defines_nothing
    """Whether a text says what one of the things is that the question asks about."""
    sides: tuple[Callable[[str], bool], ...] = ()
    """Of a comparison: whether a text names the one side, and the other."""


@dataclass(frozen=True, slots=True)
class Extract:
    """A unit and what speaks for it.

    `late`: how well the question's tokens are met in it; `dense`: the cosine of the vectors;
    `terms`, `words`: the share of what the question's bigrams and words tell (IDF) that stands in
    it; `hit`, `rank`: its hit's score and rank, from 0; `lead_in`: 1 for what only announces a list
    (「次のとおり」), which answers worse than the list; `defines`: 1 where it says what its subject
    is, and this or how two subjects differ is asked.
    """

    unit: Unit
    evidence: Mapping[str, float]

    @property
    def score(self) -> float:
        """How well it answers."""
        return sum(WEIGHTS[name] * value for name, value in self.evidence.items())


def extract_units(
    snapshot: Snapshot, asked: Asked, hits: Sequence[Hit], sections: Sequence[Section]
) -> list[Unit]:
    """At most `MAX_STATEMENTS` units, best first; `sections` are those of the notes hit."""
    candidates = judge_units(snapshot, asked, hits, sections)
    candidates.sort(key=lambda candidate: -candidate.score)
    chosen = _close_to_best(_about_sides(candidates, asked.sides))
    for side in asked.sides:
        _add_side(chosen, side, [candidate.unit for candidate in candidates])
    return _in_steps(chosen)


def judge_units(
    snapshot: Snapshot, asked: Asked, hits: Sequence[Hit], sections: Sequence[Section]
) -> list[Extract]:
    """Every unit of the hits that may answer; none where nothing can be told of the question."""
    if not len(asked.tokens.ids):
        return []
    terms = {term: snapshot.bigrams.idf(term) for term in asked.terms}
    words_told = {word: snapshot.words.idf(word) for word in asked.words}
    return [
        _judge(snapshot, unit, asked, terms, words_told)
        for hit in hits
        for unit in units_of(snapshot, hit, sections_of(hit, sections))
        if not _is_table_header(unit)
    ]


def _about_sides(
    candidates: list[Extract], sides: Sequence[Callable[[str], bool]]
) -> list[Extract]:
    """Of a comparison those that name either side, if there are any."""
    named = [
        candidate
        for candidate in candidates
        if any(names(statement_text(candidate.unit)) for names in sides)
    ]
    return named or candidates


def _close_to_best(candidates: Sequence[Extract]) -> list[Unit]:
    """The best unit and what follows closely; `candidates` come best first."""
    chosen: list[Unit] = []
    for candidate in candidates:
        clear = candidates[0].evidence["terms"] >= CLEAR_COVERAGE
        gap = GAPS[max(len(chosen) - 1, 0)] * (CLEAR_SHARE if clear else 1.0)
        if candidate.score < candidates[0].score - gap:
            break
        _choose(chosen, candidate.unit)
        if len(chosen) == MAX_STATEMENTS:
            break
    return chosen


def statement_text(unit: Unit) -> str:
    """The unit as part of an answer: its subject in front where only a heading names it, what it
    owns as bullets below, and the cells of a table's row behind their columns' names.
    """
    path = list(dict.fromkeys(p for p in unit.path if p and not _FILE_NUMBER.fullmatch(p)))
    columns = _cells(path[-1]) if path else []
    text = _row_text(unit.text, columns)
    if text != unit.text:
        path.pop()
    named = normalize_for_search(text)
    missing = [part for part in path[-2:] if not _named_in(part, named)]
    subject = " › ".join(missing)
    line = " ".join((f"{subject}：{text}" if subject else text).split())
    columns = next((cells for child in unit.children if len(cells := _cells(child)) > 1), [])
    items = [_row_text(child, columns) for child in unit.children if _cells(child) != columns]
    return "\n".join([line, *(f"- {' '.join(item.split())}" for item in items)])


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split(" | ")]


def _row_text(row: str, columns: Sequence[str]) -> str:
    """`名前 — 列：値／列：値`; text that is no row of these columns stays as it is."""
    name, *values = _cells(row)
    if not values or len(columns) != len(values) + 1:
        return row
    pairs = zip(columns[1:], values, strict=True)
    return f"{name} — " + "／".join(f"{column}：{value}" for column, value in pairs if value)


def _is_table_header(unit: Unit) -> bool:
    """It names columns and answers nothing itself."""
    columns = len(_cells(unit.text))
    return columns > 1 and bool(unit.children) and len(_cells(unit.children[0])) == columns


def _judge(
    snapshot: Snapshot,
    unit: Unit,
    asked: Asked,
    terms: Mapping[str, float],
    words_told: Mapping[str, float],
) -> Extract:
    """`terms` and `words_told` are the question's, with how much each tells (IDF)."""
    weights = snapshot.tokens.weights(asked.tokens.ids)
    met = met_tokens(snapshot, unit, asked.tokens.vectors)
    late = float(met @ weights) / float(weights.sum()) if weights.sum() else float(np.mean(met))
    text = " ".join((unit.text, *unit.children, *unit.path))
    lead_in = not unit.children and bool(LEAD_IN.search(unit.text))
    evidence = {
        "late": late,
        "dense": vector_similarity(snapshot, unit, asked.vector),
        "terms": _told(terms, set(bigrams(text))),
        "words": _told(words_told, normalize_for_search(text)),
        "hit": unit.hit.score,
        "rank": float(unit.hit.rank - 1),
        "lead_in": float(lead_in),
        "defines": float(asked.defines(unit.text)),
    }
    return Extract(unit, evidence)


def _told(weights: Mapping[str, float], held: Container[str]) -> float:
    """The share of what the terms tell that those in `held` do."""
    total = sum(weights.values())
    return sum(w for term, w in weights.items() if term in held) / total if total else 0.0


def _add_side(chosen: list[Unit], names: Callable[[str], bool], candidates: Sequence[Unit]) -> None:
    """The best unit about one side of a comparison, unless one is there already."""
    if any(names(statement_text(unit)) for unit in chosen):
        return
    found = next((unit for unit in candidates if names(statement_text(unit))), None)
    if found is not None:
        del chosen[MAX_STATEMENTS - 1 :]
        chosen.append(found)


def _in_steps(units: list[Unit]) -> list[Unit]:
    """The same units; numbered steps of one list stand in their order."""
    ordered = list(units)
    steps = [number for number, unit in enumerate(units) if _STEP.match(unit.text)]
    for first in steps:
        same = [n for n in steps if _list_of(units[n]) == _list_of(units[first])]
        in_order = sorted((units[n] for n in same), key=lambda unit: unit.start_index)
        for number, unit in zip(same, in_order, strict=True):
            ordered[number] = unit
    return ordered


def _list_of(unit: Unit) -> tuple[str, ...]:
    return (unit.hit.chunk.doc_id, *unit.path)


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
