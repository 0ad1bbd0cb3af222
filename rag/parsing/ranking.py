"""How deep each heading stands: fixed for `##` and 第2章, for loose marks told by their use.

Loose marks (■, 〇, 【】, bare lines, bullets) are put in order by votes: a mark that stands right
above another, opens the stretches both occur in, is less indented or has a blank line below it is
the higher one. Where the note says nothing, the rarer mark is, since a chapter holds many sections.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median

from rag.parsing.headings import BARE, Roles
from rag.parsing.lines import Kind, Line

FIXED_RANKS = {"第部": 6.0, "part": 6.0, "第編": 6.1, "第章": 6.5, "chapter": 6.5, "第節": 6.7}
FIXED_RANKS |= {"第項": 6.8}
PRIORS = {BARE: 0.0, "■": 0.5, "□": 0.7, "◆": 0.5, "◇": 0.7, "★": 0.5, "☆": 0.7, "◎": 0.5}
PRIORS |= {"〇": 1.0, "●": 1.5, "▶": 1.5, "►": 1.5, "(1)": 0.5, "①": 2.0, "**": 2.0, "Q": 2.5}
DEFAULT_PRIOR = 1.0
BULLET_PRIOR = 5.0
"""Added to log2 of how often a mark occurs: what writers usually mean by it."""
LOOSE_RANK = 10.0
ADJACENT, ORDER, INDENT, BLANK_BELOW, CHAIN, PRIOR = 1.0, 0.5, 3.0, 1.5, 100.0, 0.3
"""What each sign weighs in the vote."""
MAX_ORDER_VOTES = 4.0

Votes = defaultdict[tuple[str, str], float]


def rank_headings(lines: Sequence[Line], roles: Roles) -> dict[int, float]:
    """Line number → rank of its heading; smaller is higher."""
    loose = {
        index: mark
        for index, mark in roles.headings.items()
        if lines[index].kind is not Kind.HEADING and mark not in FIXED_RANKS
    }
    order = _order(lines, roles, loose)
    ranks: dict[int, float] = {}
    for index, mark in roles.headings.items():
        if index in loose:
            ranks[index] = LOOSE_RANK + order[mark] + min(lines[index].indent, 99) / 100
        else:
            ranks[index] = FIXED_RANKS.get(mark, float(lines[index].level))
    return ranks


def _order(lines: Sequence[Line], roles: Roles, loose: Mapping[int, str]) -> dict[str, int]:
    """Mark → its place among the loose marks, the highest first."""
    votes: Votes = defaultdict(float)
    counts = Counter(loose.values())
    priors = _priors(lines, counts)
    _vote_by_neighbours(lines, roles, votes)
    _vote_by_looks(lines, loose, votes)
    for one, other in combinations(counts, 2):
        _vote_by_order(roles, priors, one, other, votes)
    left = sorted(counts, key=lambda mark: (priors[mark], mark))
    order: dict[str, int] = {}
    while left:
        wins = {
            mark: sum(_score(votes, priors, mark, other) > 0 for other in left if other != mark)
            for mark in left
        }
        highest = max(left, key=lambda mark: wins[mark])  # on a tie the one likely by its prior
        order[highest] = len(order)
        left.remove(highest)
    return order


def _score(votes: Votes, priors: Mapping[str, float], one: str, other: str) -> float:
    """Above 0 when `one` stands above `other`."""
    voted = votes[one, other] - votes[other, one]
    return voted + PRIOR * (priors[other] - priors[one])


def _priors(lines: Sequence[Line], headings: Mapping[str, int]) -> dict[str, float]:
    counts = Counter(line.mark for line in lines if line.kind in (Kind.MARKED, Kind.BULLET))
    bullets = {line.mark for line in lines if line.kind is Kind.BULLET}
    return {
        mark: math.log2(max(counts[mark], count))
        + (BULLET_PRIOR if mark in bullets else PRIORS.get(mark, DEFAULT_PRIOR))
        for mark, count in headings.items()
    }


def _vote_by_neighbours(lines: Sequence[Line], roles: Roles, votes: Votes) -> None:
    """A heading right below another one is below it in rank, unless it stands further out."""
    marks = {**roles.headings, **roles.labels}
    previous: int | None = None
    for index in range(len(lines)):
        if index not in marks:
            previous = previous if lines[index].kind is Kind.BLANK else None
            continue
        if previous is not None and previous > 0 and marks[previous] != marks[index]:
            upper, lower = marks[previous], marks[index]
            if lines[index].indent < lines[previous].indent:
                upper, lower = lower, upper
            votes[upper, lower] += ADJACENT
        previous = index


def _vote_by_looks(lines: Sequence[Line], loose: Mapping[int, str], votes: Votes) -> None:
    """Indent, a blank line below, and the depth that a numbering or a row of stars shows."""
    by_mark: dict[str, list[int]] = {}
    for index, mark in loose.items():
        by_mark.setdefault(mark, []).append(index)
    indents = {m: median(lines[i].indent for i in found) for m, found in by_mark.items()}
    airy = {
        m: sum(i + 1 < len(lines) and lines[i + 1].kind is Kind.BLANK for i in found) / len(found)
        for m, found in by_mark.items()
    }
    for one in by_mark:
        for other in by_mark:
            votes[one, other] += INDENT * (indents[one] < indents[other])
            votes[one, other] += BLANK_BELOW * (airy[one] - airy[other] > 0.5)
            votes[one, other] += CHAIN * _is_above_by_name(one, other)


def _is_above_by_name(one: str, other: str) -> bool:
    """`1.` over `1.1.`; Scrapbox's `[** ` over its `[* `."""
    if one.startswith("1.") and other.startswith("1."):
        return len(one) < len(other)
    return one.startswith("[*") and other.startswith("[*") and len(one) > len(other)


def _vote_by_order(
    roles: Roles, priors: Mapping[str, float], one: str, other: str, votes: Votes
) -> None:
    """Of two marks the one that opens the stretches, between higher ones, in which both occur."""
    higher = min(priors[one], priors[other])
    first: str | None = None
    voted = False
    cast: Counter[str] = Counter()
    for mark in roles.headings.values():
        if mark not in (one, other):
            if priors.get(mark, 0.0) < higher:
                first, voted = None, False
        elif first is None:
            first = mark
        elif mark != first and not voted:
            cast[first] += 1
            voted = True
    for mark, count in cast.items():
        below = other if mark == one else one
        votes[mark, below] += min(ORDER * count, MAX_ORDER_VOTES)
