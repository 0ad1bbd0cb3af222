"""HTML notes → the same lines that Markdown gives; positions point into the file's own source."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from rag.parsing.html_tables import OpenTable
from rag.parsing.lines import MAX_LABEL_CHARS, Kind, Line, classify

MAX_TAG_CHARS = 5000

_SKIPPED = frozenset({"head", "title", "script", "style", "template", "noscript", "svg"})
_SKIPPED_IF_CLOSED = frozenset({"nav", "footer"})
"""Left out only where every one is closed: an open one would swallow the note."""
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i"}
    | {"img", "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span"}
    | {"strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "input", "button"}
)
_EMPHASIS = frozenset({"b", "strong", "big", "summary"})
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "base", "wbr", "col", "source"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = ("ul", "ol", "dl")
_ITEMS = frozenset({"li", "dt", "dd"})
_TABLE_PARTS = frozenset({"thead", "tbody", "tfoot", "tr", "td", "th", "caption"})
_CLOSED_BY = {
    "li": (frozenset({"li"}), frozenset({"ul", "ol"})),
    "dt": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "dd": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "td": (frozenset({"td", "th"}), frozenset({"table", "tr"})),
    "th": (frozenset({"td", "th"}), frozenset({"table", "tr"})),
    "tr": (frozenset({"tr"}), frozenset({"table"})),
}
"""Start tag → the open elements that it ends, and those beyond which it does not look."""


@dataclass(slots=True)
class _Piece:
    """Text collected since the last block boundary."""

    start: int = -1
    end: int = -1
    words: list[str] = field(default_factory=list)
    emphasised: bool = True


class _LineCollector(HTMLParser):
    """Collects a Line at each block boundary; the rows of a data table are a line each."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.lines: list[Line] = []
        self._stack: list[str] = []
        self._skipping = 0
        self._emphasis = 0
        self._lists = 0
        self._item = ""  # list item whose first line is still to come
        self._apart = False
        self._tables: list[OpenTable] = []
        self._piece = _Piece()
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._skipped = _SKIPPED | {tag for tag in _SKIPPED_IF_CLOSED if _all_closed(tag, text)}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A block tag closes the line before it."""
        self._emphasis += tag in _EMPHASIS
        if tag in _INLINE:
            return
        self._flush()
        self._apart = self._apart or tag not in (*_ITEMS, *_TABLE_PARTS, "br")
        if tag in _VOID:
            return
        self._close_implied(tag)
        self._stack.append(tag)
        self._skipping += tag in self._skipped
        self._lists += tag in _LISTS
        self._item = tag if tag in _ITEMS else self._item
        self._open_table_part(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        """Closes up to the matching open tag; what was never opened is passed over."""
        if tag in _EMPHASIS:
            self._emphasis = max(self._emphasis - 1, 0)
        if tag in _INLINE:
            return
        self._flush()
        self._apart = self._apart or tag not in (*_ITEMS, *_TABLE_PARTS)
        if tag in self._stack:
            while self._pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Visible text widens the line by its own span."""
        if self._skipping or not data.strip():
            if self._piece.words:
                self._piece.words.append(" ")
            return
        line, column = self.getpos()
        start = self._line_starts[line - 1] + column
        if self._piece.start < 0:
            self._piece.start = start + len(data) - len(data.lstrip())
        self._piece.end = start + len(data.rstrip())
        self._piece.words.append(data)
        self._piece.emphasised = self._piece.emphasised and self._emphasis > 0

    def handle_entityref(self, name: str) -> None:
        """`&amp;` and its like are text."""
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        """`&#12354;` and its like are text."""
        self.handle_data(f"&#{name};")

    def finish(self) -> None:
        """Takes what stands behind the last block boundary."""
        self._flush()
        while self._stack:
            self._pop()

    def _close_implied(self, tag: str) -> None:
        closed, limits = _CLOSED_BY.get(tag, (frozenset({"p"}), frozenset()))
        for depth in range(len(self._stack) - 1, -1, -1):
            if self._stack[depth] in closed:
                while len(self._stack) > depth:
                    self._pop()
                return
            if self._stack[depth] in limits or not limits:
                return

    def _pop(self) -> str:
        tag = self._stack.pop()
        self._skipping -= tag in self._skipped
        self._lists -= tag in _LISTS
        self._item = "" if tag in _ITEMS else self._item
        if tag == "table" and self._tables:
            for line in self._tables.pop().lines():
                self._emit(line)
            self._apart = True
        return tag

    def _open_table_part(self, tag: str, attrs: dict[str, str | None]) -> None:
        if tag == "table":
            self._tables.append(OpenTable())
        elif tag in _TABLE_PARTS and self._tables:
            self._tables[-1].open(tag, attrs, in_head="thead" in self._stack[-8:])

    def _flush(self) -> None:
        piece, self._piece = self._piece, _Piece()
        if piece.start < 0:
            return
        label = " ".join(html.unescape("".join(piece.words)).split())[:MAX_LABEL_CHARS]
        self._emit(self._line(piece, label))

    def _emit(self, line: Line) -> None:
        if self._tables:
            self._tables[-1].add(line)
            return
        if self._apart and self.lines:
            end = self.lines[-1].end_index
            self.lines.append(Line(end, end, Kind.BLANK))
        self._apart = False
        self.lines.append(line)

    def _line(self, piece: _Piece, label: str) -> Line:
        indent = 2 * self._lists
        item, self._item = self._item, ""
        heading = next((tag for tag in reversed(self._stack[-4:]) if tag in _HEADINGS), None)
        if heading:
            level = _HEADINGS[heading]
            return Line(piece.start, piece.end, Kind.HEADING, f"#{level}", level, 0, label)
        if "pre" in self._stack[-4:]:
            return Line(piece.start, piece.end, Kind.CODE, "", 0, indent, label)
        if item == "li":
            return Line(piece.start, piece.end, Kind.BULLET, "-", 0, max(indent - 2, 0), label)
        if item == "dt":
            return Line(piece.start, piece.end, Kind.TERM, "", 0, max(indent - 2, 0), label)
        typed = classify(label, piece.start, piece.end)  # old pages type ■ ・ 【】 by hand
        if typed.kind in (Kind.MARKED, Kind.BULLET) and not self._lists:
            return typed
        if piece.emphasised and not self._lists and not self._tables:
            return Line(piece.start, piece.end, Kind.MARKED, "**", 1, 0, label)
        return Line(piece.start, piece.end, Kind.TEXT, "p", 0, indent, label)


def split_html_lines(text: str) -> list[Line]:
    """Lines of the visible text, in order; what stands between two of them is markup."""
    collector = _LineCollector(text)
    collector.feed(_without_stray_brackets(text))
    collector.close()
    collector.finish()
    return collector.lines


def _without_stray_brackets(text: str) -> str:
    """The text with each < that the parser cannot cope with made harmless, every position kept.

    Where no > follows soon, HTMLParser looks for it again from each <, and an unclosed tag would
    take minutes; of `<![…` it says AssertionError.
    """
    stray = [found.start() for found in re.finditer(r"<!(?!--|doctype)", text, re.I)]
    closing = len(text) + MAX_TAG_CHARS
    for found in reversed(list(re.finditer("[<>]", text))):
        if found.group() == ">":
            closing = found.start()
        elif closing - found.start() > MAX_TAG_CHARS:
            stray.append(found.start())
    if not stray:
        return text
    characters = list(text)
    for position in stray:
        characters[position] = "＜"
    return "".join(characters)


def _all_closed(tag: str, text: str) -> bool:
    opened = len(re.findall(rf"<{tag}[\s>]", text, re.I))
    return len(re.findall(rf"</{tag}\s*>", text, re.I)) >= opened
