"""HTML notes → the same lines that Markdown gives; positions point into the file's own source."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from rag.parsing.lines import Kind, Line, classify

_SKIPPED = frozenset({"script", "style", "template", "noscript", "svg", "nav", "footer", "form"})
_SKIPPED_IN_HEAD = frozenset({"title", "meta", "link", "base"})
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img"}
    | {"ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "tt"}
    | {"strike", "strong", "sub", "sup", "time", "u", "var", "wbr"}
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "base", "wbr", "col", "source"})


@dataclass(slots=True)
class _Piece:
    """Text collected since the last block boundary."""

    start: int = -1
    end: int = -1
    words: list[str] = field(default_factory=list)
    cells: int = 0
    header_cells: int = 0


class _LineCollector(HTMLParser):
    """Collects a Line at each block boundary; a table row is one line."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.lines: list[Line] = []
        self._stack: list[str] = []
        self._piece = _Piece()
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._text = text

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._line_starts[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A block tag closes the line before it; cells of a row stay on one line."""
        if tag in _INLINE:
            return
        if not self._in_row():
            self._flush()
        if tag in ("td", "th"):
            self._piece.cells += 1
            self._piece.header_cells += tag == "th"
            self._piece.words.append(" | ")
        if tag not in _VOID:
            self._stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Closes up to the matching open tag; what was never opened is passed over."""
        if tag in _INLINE or tag not in self._stack:
            return
        if tag == "tr" or not self._in_row():
            self._flush()
        while self._stack.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Visible text widens the line by its own span."""
        skipped = _SKIPPED.intersection(self._stack)
        in_head = "head" in self._stack or _SKIPPED_IN_HEAD.intersection(self._stack)
        if skipped or in_head or not data.strip():
            return
        start = self._offset()
        left = start + len(data) - len(data.lstrip())
        self._piece.start = left if self._piece.start < 0 else self._piece.start
        self._piece.end = start + len(data.rstrip())
        self._piece.words.append(data)

    def handle_entityref(self, name: str) -> None:
        """`&amp;` and its like are text."""
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        """`&#12354;` and its like are text."""
        self.handle_data(f"&#{name};")

    def finish(self) -> None:
        """Takes what stands behind the last block boundary."""
        self._flush()

    def _in_row(self) -> bool:
        return "tr" in self._stack

    def _flush(self) -> None:
        piece, self._piece = self._piece, _Piece()
        if piece.start < 0:
            return
        label = " ".join("".join(piece.words).split()).strip("| ")
        kind, mark, level = self._kind(piece)
        lists = sum(tag in ("ul", "ol", "dl") for tag in self._stack)
        indent = 2 * max(lists - 1, 0) + (2 if "dd" in self._stack else 0)
        line = Line(piece.start, piece.end, kind, mark, level, indent, label)
        if kind is Kind.TEXT:  # old pages mark headings and bullets by hand: ■ ・ 【】
            typed = classify(label, piece.start, piece.end)
            line = typed if typed.kind in (Kind.MARKED, Kind.BULLET) else line
        self.lines.append(line)

    def _kind(self, piece: _Piece) -> tuple[Kind, str, int]:
        heading = next((tag for tag in reversed(self._stack) if tag in _HEADINGS), None)
        if heading:
            return Kind.HEADING, f"#{_HEADINGS[heading]}", _HEADINGS[heading]
        if piece.cells:
            is_header = piece.header_cells == piece.cells or "thead" in self._stack
            return (Kind.HEADER_ROW if is_header else Kind.ROW), "|", 0
        if "pre" in self._stack:
            return Kind.CODE, "", 0
        if "li" in self._stack or "dt" in self._stack:
            return Kind.BULLET, "-", 0
        return Kind.TEXT, "", 0


def split_html_lines(text: str) -> list[Line]:
    """Lines of the visible text, in order; what stands between two of them is markup."""
    collector = _LineCollector(text)
    collector.feed(text)
    collector.close()
    collector.finish()
    return collector.lines
