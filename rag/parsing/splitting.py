"""A note's text → its logical lines: code fenced off, glued bullets apart, underlines joined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from rag.parsing.lines import MAX_HEADING_CHARS, Kind, Line, classify
from rag.parsing.tables import mark_tables
from rag.parsing.terms import mark_terms

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)(.*)$")
_GLUED = re.compile(r"(?<=[。．）)」】])[ \u3000]+(?=[-・•][ \u3000]+\S)|(?<=\S)[ \u3000]+(?=-$)")
_GLUED_BEHIND_MARK = re.compile(r"(?<=\S)[ \u3000]+(?=-[ \u3000]+[^\s\d]|-$)")
MIN_GLUED_CHARS = 30
"""`- EC2 - a virtual machine` is one bullet; behind a longer text or a full stop, two."""


def split_lines(text: str, start: int) -> list[Line]:
    """Lines covering `text[start:]`, in order; glued bullets are lines of their own."""
    spans = [(m.start(), m.end()) for m in _LINE.finditer(text, start) if m.start() < m.end()]
    fenced = _fenced_lines(text, spans)
    lines: list[Line] = []
    for number, (left, right) in enumerate(spans):
        content = text[left:right].rstrip("\r\n")
        if number in fenced:
            lines.append(Line(left, right, Kind.CODE, indent=fenced[number]))
            continue
        for piece_start, piece_end in _unglue(content, left, right):
            piece = text[piece_start:piece_end].rstrip("\r\n")
            lines.append(classify(piece, piece_start, piece_end))
    lines = _without_comments(_join_underlines(_join_lone_bullets(lines), text))
    return mark_terms(mark_tables(lines))


def _fenced_lines(text: str, spans: list[tuple[int, int]]) -> dict[int, int]:
    """Number of each line of a code block → its fence's indent; a fence never closed is text."""
    fenced: dict[int, int] = {}
    opened, fence, indent = -1, "", 0
    number = 0
    while number < len(spans) or opened >= 0:
        if number >= len(spans):  # nothing closed it: go on below the line that opened it
            number, opened = opened + 1, -1
            continue
        left, right = spans[number]
        content = text[left:right].rstrip()
        marker = _FENCE.match(content) if content[:80].lstrip()[:1] in ("`", "~") else None
        if opened < 0:
            if marker and "`" not in marker.group(2):
                opened, fence, indent = number, marker.group(1), marker.start(1)
        elif marker and marker.group(1).startswith(fence) and not marker.group(2).strip():
            fenced.update(dict.fromkeys(range(opened, number + 1), indent))
            opened = -1
        number += 1
    return fenced


def _unglue(content: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of one physical line, cut where the next bullet was glued to the end of this one."""
    body = content.lstrip(" \t\u3000")
    marked = body[:1] in "-※・●〇" and not body.startswith("--")
    pattern = _GLUED_BEHIND_MARK if marked or body.count(" - ") >= 2 else _GLUED
    left = seen = ticks = 0
    if not body.startswith("|") and (" - " in content or content.endswith(" -")):
        for found in pattern.finditer(content):
            ticks += content.count("`", seen, found.start())
            seen = found.start()
            before = content[max(left, seen - MIN_GLUED_CHARS) : seen].strip(" -・•\u3000")
            long = seen - left > MIN_GLUED_CHARS
            if before and not ticks % 2 and (long or before[-1] in "。．）)」】"):
                yield start + left, start + found.end()
                left = found.end()
    yield start + left, end


def _join_lone_bullets(lines: list[Line]) -> list[Line]:
    """A lone `-` takes the next line as its text."""
    joined: list[Line] = []
    for line in lines:
        above = joined[-1] if joined else None
        lone = above is not None and above.kind is Kind.BULLET and not above.label
        if above is not None and lone and line.kind in (Kind.TEXT, Kind.MARKED):
            joined[-1] = replace(above, end_index=line.end_index, label=line.label)
        else:
            joined.append(line)
    return joined


def _join_underlines(lines: list[Line], text: str) -> list[Line]:
    """Text over === or ---, or between two such rules, is one heading line together with them."""
    joined: list[Line] = []
    for line in lines:
        above = joined[-1] if joined else None
        before = joined[-2] if len(joined) >= 2 else None
        if above is None or not _underlines(line, above, before, text):
            joined.append(line)
            continue
        boxed = before is not None and before.kind is Kind.RULE and before.mark == line.mark
        start = before.start_index if boxed and before is not None else above.start_index
        level = 1 if line.mark in "=＝━" else 2
        del joined[-2 if boxed else -1 :]
        heading = Line(start, line.end_index, Kind.HEADING, f"#{level}", level, 0, above.label)
        joined.append(heading)
    return joined


def _underlines(rule: Line, above: Line, before: Line | None, text: str) -> bool:
    if above.kind not in (Kind.TEXT, Kind.MARKED) or len(above.label) > MAX_HEADING_CHARS * 2:
        return False
    if rule.kind is Kind.RULE and before is not None and before.kind is Kind.RULE:
        return before.mark == rule.mark
    underline = text[rule.start_index : rule.end_index].strip()
    if rule.kind not in (Kind.RULE, Kind.BULLET) or not re.fullmatch(r"=+|-{2,}", underline):
        return False
    return before is None or before.kind in (Kind.BLANK, Kind.HEADING, Kind.RULE)


def _without_comments(lines: list[Line]) -> list[Line]:
    """`# …` right under its like is a shell comment; a chapter would not be empty."""
    plain = list(lines)
    for number in range(1, len(lines)):
        above, line = lines[number - 1], lines[number]
        if line.mark == "#1" and above.mark == "#1" and above.end_index == line.start_index:
            for index in (number - 1, number):
                plain[index] = replace(plain[index], kind=Kind.TEXT, mark="#", level=0)
    return plain
