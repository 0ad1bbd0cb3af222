"""Which lines are the rows of a table, and which of them is its header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rag.parsing.lines import Kind, Line

RULE_MARK = "|---|"
MAX_COLUMN_NAME_CHARS = 16
LONGER_THAN_NAME = 1.6
"""Cells that are this much longer than what stands above them are described by it."""

_RULE_ROW = re.compile(r"^[|:\-+ \t\u3000]+$")
_BAR = re.compile(r"[|｜]")
_SEPARATED = re.compile(r"[ \u3000][|｜][ \u3000]|\S\t+\S")
_NO_NAME = re.compile(r"[0-9０-９。．…→⇒=＝<>`*/\\_$]|(?<![^\s])[-+]|(?:です|ます|する|した|ない)$")
_COMMON_NAMES = frozenset(
    {"name", "key", "type", "parameter", "option", "command", "field", "item", "column", "term"}
    | {"method", "status", "value", "code", "service", "property", "no", "id", "word", "keyword"}
    | {
        "api",
        "port",
        "os",
        "ip",
        "url",
        "tool",
        "event",
        "error",
        "size",
        "role",
        "policy",
        "class",
    }
    | {"level", "layer", "protocol", "region", "model", "unit", "date", "version", "function"}
)


def mark_tables(lines: Sequence[Line]) -> list[Line]:
    """Lines of a table as ROW, its first as HEADER_ROW where it names the columns."""
    marked = list(lines)
    for first, last in list(_runs(lines)):
        marked[first:last] = [_row(line) for line in lines[first:last]]
        headers = [i - 1 for i in range(first + 1, last) if marked[i].mark == RULE_MARK]
        if not headers and marked[first].mark != RULE_MARK:
            named = names_columns([cells(line.label) for line in lines[first:last]])
            headers = [first] if named else []
        for index in headers:
            if marked[index].mark != RULE_MARK:
                marked[index] = replace(marked[index], kind=Kind.HEADER_ROW)
    return marked


def cells(label: str) -> list[str]:
    """The cells of a row, trimmed; outer bars do not count as cells."""
    if not _BAR.search(label):
        return [cell.strip() for cell in label.split("\t")]
    body = label.strip(" \u3000")
    body = body[1:] if body[0] in "|｜" else body
    body = body[:-1] if body[-1:] in ("|", "｜") else body
    return [cell.strip() for cell in _BAR.split(body)]


def names_columns(rows: Sequence[list[str]]) -> bool:
    """The first row is short names, and what stands below them is longer or figures."""
    head, rest = rows[0], rows[1:]
    if rest and len(head) == min(map(len, rest)) - 1:
        head = ["", *head]
    names = [cell for cell in head if cell]
    if not rest or len(head) < 2 or not names:
        return False
    if any(len(name) > MAX_COLUMN_NAME_CHARS or _NO_NAME.search(name) for name in names):
        return False
    if not head[0]:  # the empty corner of a table with row names
        return all(row[0] for row in rest)
    ascii_rows = sum(row[0].isascii() for row in rest)
    if head[0].isascii() and head[0].casefold() not in _COMMON_NAMES and ascii_rows > len(rest) / 2:
        return False  # commands and their like: the first is one of them
    described = [_describes(name, _column(rest, n)) for n, name in enumerate(head) if n and name]
    return sum(described) * 2 >= len(described)


def _runs(lines: Sequence[Line]) -> Iterator[tuple[int, int]]:
    """(first, behind the last) of the lines of each table."""
    index = 0
    while index < len(lines):
        first = index
        while index < len(lines) and _may_be_row(lines[index], in_table=index > first):
            index += 1
        run = lines[first:index]
        if len(run) >= 2 or any(line.kind is Kind.ROW for line in run):
            yield first, index
        index = max(index, first + 1)


def _may_be_row(line: Line, in_table: bool) -> bool:
    if line.kind is Kind.ROW:
        return True
    if in_table and line.kind is Kind.TEXT and _BAR.search(line.label):
        return True
    return line.kind is Kind.TEXT and not line.mark and bool(_SEPARATED.search(line.label))


def _row(line: Line) -> Line:
    """`|---|:--:|` keeps its own mark: it belongs to the header above it."""
    if _RULE_ROW.match(line.label) and "-" in line.label:
        return Line(line.start_index, line.end_index, Kind.ROW, RULE_MARK)
    return replace(line, kind=Kind.ROW, mark="|")


def _column(rows: Sequence[list[str]], number: int) -> list[str]:
    return [row[number] for row in rows if number < len(row) and row[number]]


def _describes(name: str, below: Sequence[str]) -> bool:
    if not below:
        return True
    figures = sum(bool(re.search(r"[0-9０-９○×△-]", cell)) for cell in below)
    mean = sum(map(len, below)) / len(below)
    return figures * 2 >= len(below) or mean >= LONGER_THAN_NAME * len(name)
