"""The tables of an HTML note: rows that keep their caption, column names and spanned cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rag.parsing.lines import MAX_LABEL_CHARS, Kind, Line
from rag.parsing.tables import names_columns
from rag.types import Owner

MAX_OWNER_CHARS = 200
MAX_ROW_SPAN = 1000
MAX_SPANNED = 4


@dataclass(slots=True)
class _Cell:
    is_header: bool
    row_span: int
    lines: list[Line] = field(default_factory=list)

    @property
    def label(self) -> str:
        return " ".join(line.label for line in self.lines if line.label)


@dataclass(slots=True)
class _Row:
    in_head: bool
    cells: list[_Cell] = field(default_factory=list)

    @property
    def is_header(self) -> bool:
        return self.in_head or (len(self.cells) > 1 and all(cell.is_header for cell in self.cells))


@dataclass(slots=True)
class OpenTable:
    """A table whose end has not come yet; lines are put where its last open part is."""

    caption: list[Line] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)
    _in_caption: bool = False

    def open(self, tag: str, attrs: dict[str, str | None], in_head: bool) -> None:
        """A row, a cell or the caption begins."""
        self._in_caption = tag == "caption"
        if tag == "tr":
            self.rows.append(_Row(in_head))
        elif tag in ("td", "th"):
            if not self.rows:
                self.rows.append(_Row(in_head))
            span = attrs.get("rowspan") or ""
            rows = min(int(span), MAX_ROW_SPAN) if span.isdecimal() else 1
            self.rows[-1].cells.append(_Cell(tag == "th", rows))

    def add(self, line: Line) -> None:
        """Text of the part that is open; what stands between the parts goes to the last one."""
        if self._in_caption or not any(row.cells for row in self.rows[-1:]):
            self.caption.append(line)
        else:
            self.rows[-1].cells[-1].lines.append(line)

    def lines(self) -> list[Line]:
        """A line for each row of a data table; of one that only lays out a page, its own lines."""
        rows = [row for row in self.rows if any(cell.lines for cell in row.cells)]
        inner = [line for row in rows for cell in row.cells for line in cell.lines]
        if not _holds_data(rows, inner):
            return sorted([*self.caption, *inner], key=lambda line: line.start_index)
        headers = _header_rows(rows)
        caption = [_owner(line.label, [line]) for line in self.caption if line.label]
        spanned: list[tuple[int, Owner]] = []  # number of the last row it reaches, owner
        made: list[Line] = []
        owners: list[Owner] = []
        for number, row in enumerate(rows):
            held = [owner for _, owner in spanned[:MAX_SPANNED]]
            own = _row_line(row, Kind.HEADER_ROW if number in headers else Kind.ROW)
            made.append(replace(own, owners=(*caption, *owners, *held)))
            if number in headers:
                owners.append(_owner(own.label, [own]))
            else:
                spanned += [
                    (number + cell.row_span - 1, _owner(cell.label, cell.lines))
                    for cell in row.cells
                    if cell.row_span > 1 and cell.lines
                ]
            spanned = [(last, owner) for last, owner in spanned if last > number][:MAX_SPANNED]
        return sorted([*self.caption, *made], key=lambda line: line.start_index)


def _holds_data(rows: Sequence[_Row], inner: Sequence[Line]) -> bool:
    """Several rows of several cells, none of which holds headings or a table of its own."""
    nested = (Kind.HEADING, Kind.ROW, Kind.HEADER_ROW, Kind.CODE)
    if any(line.kind in nested for line in inner):
        return False
    broad = sum(len(row.cells) >= 2 for row in rows)
    return len(rows) >= 2 and broad * 2 >= len(rows)


def _header_rows(rows: Sequence[_Row]) -> set[int]:
    headers = {number for number, row in enumerate(rows) if row.is_header}
    if not headers and not any(cell.is_header for row in rows for cell in row.cells):
        labels = [[cell.label for cell in row.cells] for row in rows]
        headers = {0} if names_columns(labels) else set()
    return headers


def _row_line(row: _Row, kind: Kind) -> Line:
    held = [line for cell in row.cells for line in cell.lines]
    label = " | ".join(cell.label for cell in row.cells)[:MAX_LABEL_CHARS]
    return Line(held[0].start_index, held[-1].end_index, kind, "|", label=label)


def _owner(label: str, held: Sequence[Line]) -> Owner:
    label = label.strip("| ")
    text = label if len(label) <= MAX_OWNER_CHARS else label[: MAX_OWNER_CHARS - 1] + "…"
    return Owner(text, held[0].start_index, held[-1].end_index)
