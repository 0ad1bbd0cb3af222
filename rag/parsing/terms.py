"""Which lines are the terms of a definition list: what they mean stands below them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from rag.parsing.lines import MAX_HEADING_CHARS, Kind, Line

MAX_DEFINITION_CHARS = 120
"""Where more than this stands below each of them, they are headings rather than terms."""


def mark_terms(lines: Sequence[Line]) -> list[Line]:
    """Terms as TERM: `term` over `: meaning`, or several lines each with deeper ones below."""
    marked = list(lines)
    for first, last in _paragraphs(lines):
        for index in _colon_terms(lines, first, last):
            marked[index] = replace(
                lines[index], kind=Kind.TERM, label=lines[index].label.strip(";； ")
            )
        for index in _indented_terms(lines, first, last):
            marked[index] = replace(marked[index], kind=Kind.TERM)
    return marked


def owns_deeper(lines: Sequence[Line], index: int) -> bool:
    """A short line of text with deeper text right below it."""
    if index + 1 >= len(lines):
        return False
    line, below = lines[index], lines[index + 1]
    return (
        line.kind in (Kind.TEXT, Kind.TERM)
        and not line.mark
        and below.kind in (Kind.TEXT, Kind.TERM, Kind.BULLET, Kind.MARKED)
        and below.indent > line.indent
        and len(line.label) <= MAX_HEADING_CHARS
        and line.label[-1] not in "。．"
    )


def _paragraphs(lines: Sequence[Line]) -> Iterator[tuple[int, int]]:
    """(first, behind the last) of each run of text lines without a blank one."""
    index = 0
    while index < len(lines):
        first = index
        while index < len(lines) and lines[index].kind is Kind.TEXT:
            index += 1
        if index - first >= 2:
            yield first, index
        index = max(index, first + 1)


def _colon_terms(lines: Sequence[Line], first: int, last: int) -> Iterator[int]:
    for index in range(first, last - 1):
        above, below = lines[index].label, lines[index + 1].label
        if (
            below[:1] in (":", "：")
            and not below.startswith(":::")
            and above[:1] not in (":", "：")
        ):
            yield index


def _indented_terms(lines: Sequence[Line], first: int, last: int) -> list[int]:
    """Terms of one paragraph; a paragraph's only one, or one over nested ones, may be a heading."""
    owning = [index for index in range(first, last - 1) if owns_deeper(lines, index)]
    if not owning:
        return []
    top = min(line.indent for line in lines[first:last])
    upper = [index for index in owning if lines[index].indent == top]
    nested = [index for index in owning if lines[index].indent > top]
    bounds = [*upper, last]
    sizes = [
        sum(len(line.label) for line in lines[start + 1 : end] if line.indent > top)
        for start, end in zip(upper, bounds[1:], strict=False)
    ]
    if nested or (sizes and median(sizes) > MAX_DEFINITION_CHARS):
        return nested
    if len(upper) == 1 and upper[0] == first:
        return nested
    return upper
