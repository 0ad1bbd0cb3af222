"""A span of a note → the note as HTML with exactly that span in `<mark>`.

Markdown and HTML are transformed on their way to the page, so offsets into the source say nothing
about the result. Two characters that occur nowhere in the note are put at the ends of the span
before it is rendered, and everything between them is marked afterwards. The result counts only if,
those two characters aside, it equals the note rendered without them; otherwise they are put more
cautiously, and in the end the note is shown as its source, where the span is exact by definition.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from api.rendering import TAG, Renderer, code_spans, text_of

_UNUSED_LETTERS: Final = [*map(chr, range(0xE000, 0xF900)), *map(chr, range(0xF0000, 0xF1000))]
_UNUSED_PUNCTUATION: Final = [
    char for char in map(chr, range(0x10A50, 0x12500)) if unicodedata.category(char) == "Po"
]

_PREFIX: Final = re.compile(
    r"[ \t\u3000]*(?:>[ \t]?)*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)*(?:\[[ xX]\][ \t]+)?"
    r"(?:#{1,6}[ \t]+)?\|?[ \t]*"
)
"""What Markdown wants at the start of a line, before the words."""

_HTML_REGION: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|title|template|noscript|iframe|svg)\b.*?</\1\s*>"
    r"|</?[A-Za-z][^<>]*>|<[!?][^<>]*>|&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|\w{1,31});",
    re.DOTALL | re.IGNORECASE,
)
"""A stretch of HTML that no mark may cut."""

_MARKDOWN_REGION: Final = re.compile(
    r"\]\((?:[^()\n]|\([^()\n]*\))*\)"  # a link's target
    r"|\]\[[^\]\n]*\]"  # a link's label
    r"|^[ ]{0,3}\[(?!\^)[^\]\n]+\]:[^\n]*$"  # a label's definition
    r"|^[ \t>]*(?:```|~~~)[^\n]*$"  # a fence
    r"|^[ \t]*[-=:|*_][-=:|*_ \t]*$"  # a rule, an underline, a table's second row
    r"|<!--.*?-->|</?[A-Za-z](?![\w+.-]*:)[^<>\n]*>|&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|\w{1,31});",
    re.DOTALL | re.MULTILINE,
)
_MARKUP: Final = frozenset("*_~`|[]!\\")
_DELIMITERS: Final = frozenset("*_~`")


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a note as it goes to the renderer, and where its marks may not stand."""

    text: str
    regions: re.Pattern[str]
    literal: tuple[tuple[int, int], ...]
    is_markdown: bool


def markdown_source(text: str) -> Source:
    """Of a Markdown note without its front matter."""
    return Source(text, _MARKDOWN_REGION, tuple(code_spans(text)), is_markdown=True)


def html_source(text: str) -> Source:
    """Of an HTML note."""
    return Source(text, _HTML_REGION, (), is_markdown=False)


def highlight(source: Source, start: int, end: int, render: Renderer) -> str | None:
    """The note with `text[start:end]` marked; None if the marks cannot be placed exactly."""
    plain = render(source.text)
    for cautious in (False, True):
        span = _visible_span(source, start, end, cautious)
        if span is None:
            return None
        marked = _render_with_marks(source.text, span, plain, render)
        if marked is not None and _only_holds(marked, source.text[start:end]):
            return marked
    return None


def mark_text(text: str, start: int, end: int) -> str:
    """Plain text as HTML with `text[start:end]` marked; no span, no mark."""
    start, end = max(start, 0), min(end, len(text))
    if start >= end:
        return html.escape(text, quote=False)
    before, inside, after = (
        html.escape(part, quote=False) for part in (text[:start], text[start:end], text[end:])
    )
    return f"{before}{_mark(inside)}{after}"


def _mark(inside: str) -> str:
    """White space alone is not marked: between blocks it would show as an empty stripe."""
    return f"<mark>{inside}</mark>" if inside.strip() else inside


def _visible_span(source: Source, start: int, end: int, cautious: bool) -> tuple[int, int] | None:
    """The span without what will not be seen at its ends."""
    regions = [found.span() for found in source.regions.finditer(source.text)]
    if source.literal:
        regions = [region for region in regions if not _is_literal(source, region[0])]
    first = _first_visible(source, start, end, regions, cautious)
    last = _last_visible(source, first, end, regions, cautious)
    return (first, last) if first < last else None


def _is_literal(source: Source, index: int) -> bool:
    following = bisect_right(source.literal, (index, len(source.text)))
    return following > 0 and index < source.literal[following - 1][1]


def _first_visible(
    source: Source, start: int, end: int, regions: list[tuple[int, int]], cautious: bool
) -> int:
    text, index = source.text, start
    while index < end:
        before = index
        index = next((stop for at, stop in regions if at <= index < stop), index)
        if source.is_markdown and not _is_literal(source, index):
            line_start = text.rfind("\n", 0, index) + 1
            prefix = _PREFIX.match(text, line_start)
            if prefix is not None:
                index = max(index, prefix.end())
            if cautious:
                while index < end and text[index] in _MARKUP:
                    index += 1
        while index < end and text[index].isspace():
            index += 1
        if index == before:
            return index
    return end


def _last_visible(
    source: Source, first: int, end: int, regions: list[tuple[int, int]], cautious: bool
) -> int:
    text, index = source.text, end
    while index > first:
        before = index
        index = next((at for at, stop in regions if at < index <= stop), index)
        if cautious and source.is_markdown and not _is_literal(source, index - 1):
            while index > first and text[index - 1] in _MARKUP:
                index -= 1
        while index > first and text[index - 1].isspace():
            index -= 1
        if index == before:
            return index
    return first


def _render_with_marks(
    text: str, span: tuple[int, int], plain: str, render: Renderer
) -> str | None:
    taken = {*text, *plain}
    letters = (char for char in _UNUSED_LETTERS if char not in taken)
    punctuation = (char for char in _UNUSED_PUNCTUATION if char not in taken)
    first, last = span
    try:
        opening = _sentinel(text, first, letters, punctuation)
        closing = _sentinel(text, last, letters, punctuation)
    except StopIteration:
        return None
    rendered = render(text[:first] + opening + text[first:last] + closing + text[last:])
    if rendered.replace(opening, "").replace(closing, "") != plain:
        return None
    seen = text_of(rendered)
    if seen.count(opening) != 1 or seen.count(closing) != 1:
        return None
    return _swap_sentinels(rendered, opening, closing)


def _sentinel(text: str, index: int, letters: Iterator[str], punctuation: Iterator[str]) -> str:
    """A character that Markdown takes for what stands there anyway, letter or punctuation.

    Whether `**` opens or closes depends on the kind of its neighbours.
    """
    left, right = text[index - 1 : index], text[index : index + 1]
    neighbour = right if left in _DELIMITERS else left
    is_letter = bool(neighbour) and unicodedata.category(neighbour)[0] in "LMN"
    return next(letters if is_letter else punctuation)


def _swap_sentinels(rendered: str, opening: str, closing: str) -> str | None:
    """Every piece of text between the two, in its own `<mark>`; None if they come out of order."""
    pieces, inside, position = [], False, 0
    for tag in [*TAG.finditer(rendered), None]:
        text = rendered[position : tag.start() if tag else len(rendered)]
        for part in re.split(f"([{opening}{closing}])", text):
            if part == opening:
                inside = True
            elif part == closing:
                if not inside:
                    return None
                inside = False
            else:
                pieces.append(_mark(part) if inside else part)
        if tag is not None:
            pieces.append(tag.group().replace(opening, "").replace(closing, ""))
            position = tag.end()
    return None if inside else "".join(pieces)


def _only_holds(marked: str, span: str) -> bool:
    """Whether the letters in the marks stand in the span, in that order."""
    inside = "".join(re.findall(r"<mark>(.*?)</mark>", marked, re.DOTALL))
    remaining = iter(html.unescape(span))
    return all(
        char in remaining for char in text_of(inside) if unicodedata.category(char)[0] in "LN"
    )
