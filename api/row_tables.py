"""Rows of a table that an answer tells one by one → a table again, where their columns agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

MIN_ROWS: Final = 2
MIN_COLUMNS: Final = 2
_ROW: Final = re.compile(r"- (?P<name>.+?) — (?P<values>.+)")


@dataclass(frozen=True, slots=True)
class RowTable:
    """What stands in a table: the columns' names, and each row's name with its values."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def tables_of(text: str) -> Iterator[str | RowTable]:
    """The text in order, its runs of rows as tables: `- 名前 — 列：値／列：値` line by line."""
    for columns, run in groupby(text.split("\n"), key=_columns):
        lines = list(run)
        if columns and len(lines) >= MIN_ROWS:
            yield RowTable(columns, tuple(map(_row, lines)))
        else:
            yield "\n".join(lines)


def _columns(line: str) -> tuple[str, ...]:
    """The columns that the line names; none if it is no row of several."""
    found = _ROW.fullmatch(line)
    columns = tuple(column for column, _ in _pairs(found["values"])) if found else ()
    return columns if len(columns) >= MIN_COLUMNS and all(columns) else ()


def _row(line: str) -> tuple[str, tuple[str, ...]]:
    found = _ROW.fullmatch(line)
    if found is None:
        raise ValueError(f"no row of a table: {line!r}")
    return found["name"], tuple(value for _, value in _pairs(found["values"]))


def _pairs(values: str) -> list[tuple[str, str]]:
    """Each column with its value; what has no name of a column belongs to the value before it."""
    pairs: list[tuple[str, str]] = []
    for piece in values.split("／"):
        column, colon, value = piece.partition("：")
        if colon or not pairs:
            pairs.append((column if colon else "", value if colon else piece))
        else:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}／{piece}")
    return pairs
