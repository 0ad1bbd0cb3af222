"""Logical lines of a note: what each line is by its own looks (heading mark, bullet, row, …).

Whether a mark *means* a heading in this note is decided in headings.py, over the whole note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

MAX_HEADING_CHARS = 44
MAX_QUESTION_HEADING_CHARS = 120
TAB_WIDTH = 4


class Kind(Enum):
    """What a line is by its looks alone."""

    BLANK = "blank"
    TEXT = "text"
    HEADING = "heading"  # marked so beyond doubt: #, setext, <h2>
    MARKED = "marked"  # a mark that may make a heading or a bullet: ■ 〇 【】 1. (1) Q1.
    BULLET = "bullet"
    ROW = "row"
    HEADER_ROW = "header row"
    CODE = "code"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line; `mark` names its class (`#2`, `■`, `1.`, `-`), `label` follows it."""

    start_index: int
    end_index: int
    kind: Kind
    mark: str = ""
    level: int = 0
    indent: int = 0
    label: str = ""


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_ATX = re.compile(r"^ {0,3}(#{1,6})([ \t\u3000]+|(?=[^\s#]))(.*?)[ \t]*#*[ \t]*$")
_RULE = re.compile(r"^\s*(?:[-*_=＝─━―]\s*){3,}$")
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_BULLET = re.compile(r"^([-*+•・‣▪⁃◦･–—])(?:[ \t\u3000]+|(?<=[・•･‣▪])(?=\S)|$)(.*)$")
_CHAPTER = re.compile(
    r"^(第\s*[0-9０-９一二三四五六七八九十百]+\s*([部編章節項話回課条]))(?:[\s:：.．、]+|$|(?=\S))(.*)$"
)
_OUTLINE = re.compile(
    r"^([0-9０-９]+(?:[-.．－][0-9０-９]+)*)"
    r"([.．)）、:：]|(?<=[-.．－][0-9０-９])(?=[\s\u3000])|(?=[\s\u3000]))[\s\u3000]*(\S.*)$"
)
_QUANTITY = re.compile(
    r"^[0-9０-９.．,]+[\s\u3000]*(?:[A-Za-zμ%％]{1,4}(?![A-Za-z])|[秒分日月年個台円人回件本枚点倍割度歳階位]|時間|種類|つ)"
)
_PAREN = re.compile(
    r"^[(（]([0-9０-９]{1,2}|[a-zA-Zア-ンぁ-ん一二三四五六七八九十])[)）][\s\u3000]*(\S.*)$"
)
_CIRCLED = re.compile(r"^([①-⑳❶-❿⑴-⒇])[\s\u3000]*(\S.*)$")
_QUESTION = re.compile(r"^((?:Q|Ｑ|問|質問)\s*[0-9０-９]*)(?:[.．:：)）、】\s\u3000]+)(\S.*)$")
_ANSWER = re.compile(r"^(?:A|Ａ|答|答え|回答|解答)\s*[0-9０-９]*[.．:：)）、\s\u3000]+\S")
_BRACKET = re.compile(r"^[【≪《＜〔]([^】≫》＞〕\n]{1,60})[】≫》＞〕][\s\u3000]*$")
_SYMBOL = re.compile(r"^([■□◆◇▼▽▲△★☆◎〇○◯●▶►✅✔☑🔷🔶📌]+)[\s\u3000]*(\S.*)$")
_BOLD = re.compile(r"^\*\*([^*\n]{1,60})\*\*[:：]?[ \t]*$|^__([^_\n]{1,60})__[ \t]*$")
_LOOSE_ROW = re.compile(r"^\s*[^|｜\n]+\s*[|｜].*[|｜]\s*$")
_GLUED = re.compile(r"(?<=[。．）)」】])[ \u3000]+(?=[-・•]\s+\S)")
_GLUED_BEHIND_MARK = re.compile(r"(?<=\S)[ \u3000]+(?=-\s+[^\s\d])")
_CALLOUT = re.compile(r"^\s*:::|^\s*</?(?:details|summary|div|br)\b", re.I)


def split_lines(text: str, start: int) -> list[Line]:
    """Logical lines covering `text[start:]`, in order; glued bullets are lines of their own."""
    lines: list[Line] = []
    fence = ""
    for found in _LINE.finditer(text, start):
        if found.start() == found.end():
            continue
        content = found.group().rstrip("\r\n")
        marker = _FENCE.match(content)
        if fence or marker:
            lines.append(Line(found.start(), found.end(), Kind.CODE))
            if not fence and marker:
                fence = marker.group(1)
            elif (
                marker and marker.group(1).startswith(fence) and content.strip() == marker.group(1)
            ):
                fence = ""
            continue
        for left, right in _unglue(content, found.start(), found.end()):
            lines.append(classify(text[left:right].rstrip("\r\n"), left, right))
    lines = _join_lone_bullets(lines, text)
    lines = _mark_tables(lines, text)
    return _mark_setext(lines, text)


def classify(content: str, start: int, end: int) -> Line:
    """What one line is by its looks."""
    expanded = content.expandtabs(TAB_WIDTH).replace("\u3000", "  ")
    body = content.strip(" \t\u3000")
    indent = len(expanded) - len(expanded.lstrip())
    if not body:
        return Line(start, end, Kind.BLANK)
    body_of_quote = re.sub(r"^(?:>\s?)+", "", body)
    if body_of_quote != body:
        return Line(start, end, Kind.TEXT, ">", indent=indent, label=body_of_quote)
    atx = _ATX.match(content)
    if atx and (atx.group(2) or len(atx.group(1)) > 1) and atx.group(3).strip():
        level = len(atx.group(1))
        return Line(start, end, Kind.HEADING, f"#{level}", level, 0, atx.group(3).strip())
    if _RULE.match(content):
        return Line(start, end, Kind.RULE, label=body)
    for mark, label, level in _marks(body):  # the first that fits
        return Line(start, end, Kind.MARKED, mark, level, indent, label)
    bullet = _BULLET.match(body)
    if bullet:
        return Line(start, end, Kind.BULLET, bullet.group(1), 0, indent, bullet.group(2).strip())
    if body.startswith("|") or _LOOSE_ROW.match(body) or content.count("\t") >= 2:
        return Line(start, end, Kind.ROW, "|", 0, indent, body)
    return Line(start, end, Kind.TEXT, "", 0, indent, body)


def is_answer(label: str) -> bool:
    """The answer's line of a question-and-answer list: `A. …`, `答：…`."""
    return bool(_ANSWER.match(label))


def _marks(body: str) -> Iterator[tuple[str, str, int]]:
    """(mark class, label, depth) when a line opens with something that may make it a heading."""
    if found := _CHAPTER.match(body):
        yield f"第{found.group(2)}", body, 1
    elif found := _QUESTION.match(body):
        yield "Q", body, 1
    elif found := _BRACKET.match(body):
        yield body[0], found.group(1), 1
    elif found := _BOLD.match(body):
        yield "**", (found.group(1) or found.group(2)).strip(), 1
    elif found := _SYMBOL.match(body):
        yield found.group(1)[0].replace("○", "〇").replace("◯", "〇"), found.group(2), 1
    elif found := _CIRCLED.match(body):
        yield "①", body, 1
    elif found := _PAREN.match(body):
        yield "(1)", body, 1
    elif (found := _OUTLINE.match(body)) and not _QUANTITY.match(body):
        depth = len(re.split(r"[-.．－]", found.group(1)))
        yield "1." + "1." * (depth - 1), body, depth


def _unglue(content: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of one physical line, cut where the next bullet was glued to the end of this one."""
    pattern = _GLUED_BEHIND_MARK if re.match(r"\s*[-※・●〇]", content) else _GLUED
    if content.lstrip().startswith("|") or "`" in content:
        yield start, end
        return
    left = start
    for found in pattern.finditer(content):
        if found.start() > 0 and content[: found.start()].strip(" -・•\u3000"):
            yield left, start + found.end()
            left = start + found.end()
    yield left, end


def _join_lone_bullets(lines: list[Line], text: str) -> list[Line]:
    """A lone `-` takes the next line as its text."""
    joined: list[Line] = []
    for line in lines:
        previous = joined[-1] if joined else None
        if (
            previous is not None
            and previous.kind is Kind.BULLET
            and not previous.label
            and line.kind in (Kind.TEXT, Kind.MARKED)
        ):
            joined[-1] = Line(
                previous.start_index,
                line.end_index,
                Kind.BULLET,
                previous.mark,
                0,
                previous.indent,
                text[line.start_index : line.end_index].strip(),
            )
        else:
            joined.append(line)
    return joined


def _mark_tables(lines: list[Line], text: str) -> list[Line]:
    """A row above `|---|---|` is the header of its table; the rule row belongs to it."""
    marked = list(lines)
    for index in range(1, len(lines)):
        content = text[lines[index].start_index : lines[index].end_index].strip()
        above = lines[index - 1]
        if "-" in content and "|" in content and _TABLE_RULE.match(content):
            marked[index] = Line(
                lines[index].start_index, lines[index].end_index, Kind.ROW, "|---|", label=""
            )
            if above.kind is not Kind.BLANK and "|" in above.label + above.mark:
                marked[index - 1] = Line(
                    above.start_index, above.end_index, Kind.HEADER_ROW, "|", label=above.label
                )
                _rows_below(marked, text, index + 1)
    return marked


def _rows_below(lines: list[Line], text: str, index: int) -> None:
    """Rows of a Markdown table need no outer bars: what follows with a bar in it is a row."""
    while index < len(lines) and lines[index].kind is not Kind.BLANK:
        line = lines[index]
        content = text[line.start_index : line.end_index].strip()
        if "|" not in content or line.kind in (Kind.HEADING, Kind.CODE):
            return
        lines[index] = Line(line.start_index, line.end_index, Kind.ROW, "|", 0, 0, content)
        index += 1


def _mark_setext(lines: list[Line], text: str) -> list[Line]:
    """Text underlined by === or --- is a heading of level 1 or 2."""
    marked = list(lines)
    for index in range(1, len(lines)):
        above, rule = lines[index - 1], lines[index]
        if rule.kind not in (Kind.RULE, Kind.BULLET) or above.kind is not Kind.TEXT:
            continue
        content = text[rule.start_index : rule.end_index].strip()
        before = lines[index - 2].kind if index >= 2 else Kind.BLANK
        underline = re.fullmatch(r"=+|-{2,}", content)
        short = len(above.label) <= MAX_HEADING_CHARS * 2
        if underline and short and before in (Kind.BLANK, Kind.HEADING, Kind.RULE):
            level = 1 if content[0] == "=" else 2
            marked[index - 1] = Line(
                above.start_index, above.end_index, Kind.HEADING, f"#{level}", level, 0, above.label
            )
    return marked
