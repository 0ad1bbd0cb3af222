"""Which lines head what follows: decided over the whole note, mark by mark.

A mark (■, 〇, 【】, `1-2.`, a bare short line …) can be a heading in one note and a bullet in the
next. It heads when most of its lines look like headings: short, no full stop, something else
below. How deep each of them stands is decided in ranking.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.parsing.lines import (
    MAX_HEADING_CHARS,
    MAX_QUESTION_HEADING_CHARS,
    Kind,
    Line,
    is_answer,
    next_lines,
)
from rag.parsing.phrases import (
    breaks_off,
    continues,
    explains_itself,
    is_boilerplate,
    is_no_name,
    is_pair,
    is_sentence,
    opens_contents,
    without_edit_link,
)

BARE = "bare"
MIN_HEADING_SHARE = 0.5
MIN_OWNING_SHARE = 0.25
MIN_AIRY_SHARE = 0.6
"""In a note where most bare headings stand below a blank line, a line right below text is none."""
MIN_BLANK_SHARE = 0.1
MAX_BARE_RUN = 4
BRACKETS = "【≪《＜〔［"
NUMBERS = "1(①"
FIRM_MARKS = frozenset({"Q", "**", *BRACKETS})
"""Their lines name something even where the name reads like a pair or a sentence."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Line number → mark of each heading, and of each label right under one."""

    headings: Mapping[int, str]
    labels: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Note:
    lines: Sequence[Line]
    following: Sequence[int | None]
    contents: frozenset[int]  # lines of a table of contents: they name headings and are none


def find_headings(lines: Sequence[Line]) -> Roles:
    """Every line that heads what follows, whatever its mark."""
    note = _Note(lines, next_lines(lines), _contents_lines(lines))
    explicit = sum(line.kind is Kind.HEADING for line in lines) >= 2
    marks = _heading_marks(note)
    roles: dict[int, str] = {}
    for index, line in enumerate(lines):
        marked = line.kind is Kind.MARKED and line.mark in marks
        if line.kind is Kind.HEADING or (marked and _looks_like_heading(note, index)):
            roles[index] = line.mark
    if not explicit:
        roles.update(_bare_headings(note))
        roles.update(_bullet_headings(note, roles))
    labels = {index: mark for index, mark in roles.items() if _is_label(lines, index, roles)}
    headings = {index: roles[index] for index in sorted(roles) if index not in labels}
    return Roles(headings, labels)


def _heading_marks(note: _Note) -> set[str]:
    """Marks most of whose lines look like headings."""
    all_lines: Counter[str] = Counter()
    heading_like: Counter[str] = Counter()
    remarks: set[str] = set()
    for index, line in enumerate(note.lines):
        if line.kind is Kind.MARKED and index not in note.contents:
            all_lines[line.mark] += 1
            heading_like[line.mark] += _looks_like_heading(note, index)
            if _is_remark(note, index):
                remarks.add(line.mark)
    return {
        mark
        for mark, count in all_lines.items()
        if heading_like[mark] >= MIN_HEADING_SHARE * count and not (count == 1 and mark in remarks)
    }


def _is_remark(note: _Note, index: int) -> bool:
    """Right below text or a table, apart from what follows: no heading if alone of its mark."""
    above = note.lines[index - 1] if index else None
    if note.lines[index].mark in FIRM_MARKS or above is None:
        return False
    return above.kind in (Kind.ROW, Kind.TEXT) and note.following[index] != index + 1


def _looks_like_heading(note: _Note, index: int) -> bool:
    """Short, not a sentence, and something other than its like comes next."""
    line, below = note.lines[index], note.following[index]
    if below is None or index in note.contents:
        return False
    if line.mark == "Q":
        return len(line.label) <= MAX_QUESTION_HEADING_CHARS
    if len(line.label) > MAX_HEADING_CHARS or re.search(r"[。．、,，]$|。.", line.label):
        return False
    if line.mark not in FIRM_MARKS and explains_itself(line.label):
        return False
    under = note.lines[below]
    if under.kind is Kind.MARKED and under.mark == line.mark:
        return False
    above = note.lines[index - 1] if index else None
    listed = above is not None and above.kind is Kind.MARKED and above.mark == line.mark
    if listed and below > index + 1 and under.kind not in (Kind.ROW, Kind.HEADER_ROW, Kind.CODE):
        return False  # the last of a list
    empty = under.kind in (Kind.MARKED, Kind.HEADING)
    if empty and line.mark[0] in NUMBERS and is_sentence(line.label, allow_clause=True):
        return False
    return not (under.indent < line.indent and under.kind is not Kind.HEADING)


def _bare_headings(note: _Note) -> dict[int, str]:
    """Short lines without any mark, between what is longer or marked."""
    found = [
        index
        for index, line in enumerate(note.lines)
        if line.kind is Kind.TEXT and _is_bare_heading(note, index)
    ]
    apart = [index for index in found if _stands_apart(note, index)]
    if len(found) >= 3 and len(apart) >= MIN_AIRY_SHARE * len(found):
        found = apart
    elif sum(line.kind is Kind.BLANK for line in note.lines) >= MIN_BLANK_SHARE * len(note.lines):
        texts = (Kind.TEXT, Kind.TERM, Kind.MARKED)
        standing = set(apart)
        found = [i for i in found if i in standing or note.lines[i - 1].kind not in texts]
    return dict.fromkeys(_without_lists(note, found), BARE)


def _without_lists(note: _Note, found: Sequence[int]) -> list[int]:
    """Of many bare headings right under one another at most the last heads something."""
    runs: list[list[int]] = []
    for index in found:
        if runs and note.following[runs[-1][-1]] == index:
            runs[-1].append(index)
        else:
            runs.append([index])
    return [
        index
        for run in runs
        for index in (run if len(run) <= MAX_BARE_RUN else run[-1:])
        if len(run) <= MAX_BARE_RUN or not _is_short(note, note.following[index])
    ]


def _is_short(note: _Note, index: int | None) -> bool:
    """One more line of such a list."""
    line = note.lines[index] if index is not None else None
    return line is None or (line.kind is Kind.TEXT and len(line.label) <= MAX_HEADING_CHARS)


def _stands_apart(note: _Note, index: int) -> bool:
    """Below a blank line, a rule, code or nothing."""
    return index == 0 or note.lines[index - 1].kind in (Kind.BLANK, Kind.RULE, Kind.CODE)


def _is_bare_heading(note: _Note, index: int) -> bool:
    line, below = note.lines[index], note.following[index]
    label = without_edit_link(line.label)
    if below is not None and label != line.label:
        return True
    if below is None or line.indent or line.mark or len(label) > MAX_HEADING_CHARS:
        return False
    if index in note.contents or is_boilerplate(label) or is_answer(label):
        return False
    if is_no_name(label) or continues(label) or is_pair(label) or label[-1] in ":：":
        return False
    under = note.lines[below]
    if continues(under.label) or under.mark in (":::", ">") or _goes_on(note, index):
        return False
    listed = below == index + 1 and under.kind in (Kind.BULLET, Kind.ROW, Kind.HEADER_ROW)
    apart = _stands_apart(note, index)
    if is_sentence(label, allow_clause=listed and apart) or (below > index + 1 and not apart):
        return False
    if under.kind is Kind.TEXT and not under.mark:
        said = len(under.label) > len(label) or under.label[0] in "※(（"
        return said or below > index + 1 or not is_sentence(under.label)
    return True


def _goes_on(note: _Note, index: int) -> bool:
    """The line above broke off in the middle of a sentence (where a link stood)."""
    above = note.lines[index - 1] if index else None
    if above is None or above.kind not in (Kind.TEXT, Kind.BULLET, Kind.MARKED):
        return False
    return bool(above.mark == ":::" or breaks_off(above.label, above.kind is Kind.TEXT))


def _bullet_headings(note: _Note, roles: Mapping[int, str]) -> dict[int, str]:
    """Bullets that head the text below them, in notes where bullets of that mark often do."""
    bullets = Counter(line.mark for line in note.lines if line.kind is Kind.BULLET)
    owning = {
        index: line.mark
        for index, line in enumerate(note.lines)
        if line.kind is Kind.BULLET
        and roles.get(index + 1) != BARE
        and _owns_text_below(note, index)
    }
    owners = Counter(owning.values())
    return {
        index: mark
        for index, mark in owning.items()
        if owners[mark] >= MIN_OWNING_SHARE * bullets[mark]
    }


def _owns_text_below(note: _Note, index: int) -> bool:
    """A short noun as a bullet with unindented text of its own below it, as in loose outlines."""
    line, below = note.lines[index], note.following[index]
    if below != index + 1 or len(line.label) > MAX_HEADING_CHARS or not line.label:
        return False
    under = note.lines[below]
    if under.indent > line.indent or continues(under.label) or is_answer(under.label):
        return False
    if is_sentence(line.label) or line.label[-1] in ":：":
        return False
    return under.kind in (Kind.TEXT, Kind.MARKED) or (
        under.kind is Kind.BULLET and under.mark != line.mark
    )


def _is_label(lines: Sequence[Line], index: int, roles: Mapping[int, str]) -> bool:
    """【…】 right under a heading names that heading's subject again: it is body, not a level."""
    above = index - 1
    return (
        bool(lines[index].mark)
        and lines[index].mark in BRACKETS
        and above in roles
        and roles[above] != lines[index].mark
        and lines[above].end_index == lines[index].start_index
    )


def _contents_lines(lines: Sequence[Line]) -> frozenset[int]:
    """The short lines right below 目次, when a blank line or a heading ends them."""
    found: set[int] = set()
    for index, line in enumerate(lines):
        if index in found or not opens_contents(line.label):
            continue
        first = index + 1
        while first < len(lines) and lines[first].kind is Kind.BLANK:
            first += 1
        last = first
        while last < len(lines) and _names_a_part(lines[last]):
            last += 1
        ended = last == len(lines) or lines[last].kind in (Kind.BLANK, Kind.HEADING, Kind.RULE)
        if ended and last - first >= 2:
            found.update(range(first, last))
    return frozenset(found)


def _names_a_part(line: Line) -> bool:
    listed = line.kind in (Kind.TEXT, Kind.TERM, Kind.MARKED, Kind.BULLET)
    return listed and len(line.label) <= MAX_HEADING_CHARS and "。" not in line.label
