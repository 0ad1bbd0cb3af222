"""What one line is by its own looks: heading mark, bullet, table row, rule, text.

Whether a mark *means* a heading in this note is decided in headings.py, over the whole note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from rag.types import Owner

MAX_HEADING_CHARS = 44
MAX_QUESTION_HEADING_CHARS = 120
MAX_LABEL_CHARS = 400
"""A line's label is only looked at, never shown whole: what is longer is no heading and no name."""
TAB_WIDTH = 4


class Kind(Enum):
    """What a line is by its looks alone."""

    BLANK = "blank"
    TEXT = "text"
    TERM = "term"  # of a definition list: what it means stands below it, deeper or behind a colon
    HEADING = "heading"  # marked so beyond doubt: #, setext, <h2>
    MARKED = "marked"  # a mark that may make a heading or a bullet: ■ 〇 【】 1. (1) Q1.
    BULLET = "bullet"
    ROW = "row"
    HEADER_ROW = "header row"
    CODE = "code"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line; `mark` names its class (`#2`, `■`, `1.`, `-`), `label` follows it.

    `owners` is what mark-up says the line belongs to: an HTML table's caption and header row.
    """

    start_index: int
    end_index: int
    kind: Kind
    mark: str = ""
    level: int = 0
    indent: int = 0
    label: str = ""
    owners: tuple[Owner, ...] = ()


_ATX = re.compile(r"^ {0,3}(#{1,6})([ \t\u3000]|(?=[^\s#]))")
_WIKI_HEADING = re.compile(r"^(={2,6})(?![=\s]*$)[ \t]*(\S.*)$|^h([1-6])\.[ \t]+(\S.*)$")
_RULE = re.compile(r"^(?:[-*_=~+＝─━―ー～＊☆★◇◆■□・…][ \t\u3000]*){3,}$")
_BULLET = re.compile(
    r"^([-*+•・‣▪▸⁃◦･–—−－＊])(?:[ \t\u3000]+|(?<=[・•･‣▪▸])(?=\S)|(?<=-)(?=[^\x00-\x7f])|$)(.*)$"
)
_CHAPTER = re.compile(r"^第\s?[0-9０-９一二三四五六七八九十百]{1,4}\s?([部編章節項話回課条])(.*)$")
_ENGLISH_CHAPTER = re.compile(
    r"^(chapter|section|part|lesson|unit|step|day)[ .]{0,2}[0-9]{1,3}(?![0-9A-Za-z])(.*)$", re.I
)
_OUTLINE = re.compile(
    r"^([1-9１-９][0-9０-９]{0,2}(?![0-9０-９])(?:[-.．－][0-9０-９]{1,3}(?![0-9０-９]))*)"
    r"(?:[.．)）、:：](?![0-9０-９])[\s\u3000]*(?=\S)|[ \t\u3000]+(?=[^\W\d_]))(.*)$"
)
_QUANTITY = re.compile(
    r"^[0-9０-９.．,]+[\s\u3000]?(?:[A-Za-zμ%％]{1,4}(?![A-Za-z])"
    r"|[秒分日月年個台円人回件本枚点倍割度歳階位]|時間|種類|つ)"
)
_PAREN = re.compile(
    r"^[(（](?:([0-9０-９]{1,2})|([a-zA-Z])|([ア-ンぁ-ん])|([一二三四五六七八九十]))[)）]"
    r"[\s\u3000]*(\S.*)$"
)
_PAREN_MARKS = ("(1)", "(a)", "(ア)", "(一)")
_CIRCLED = re.compile(r"^([①-⑳❶-❿⑴-⒇㋐-㋾])[\s\u3000]*(\S.*)$")
_COUNTED = re.compile(r"^([Ⅰ-Ⅻ]|[一二三四五六七八九十]{1,3}(?=[、．.]))[、．.\s\u3000]+(\S.*)$")
_QUESTION = re.compile(
    r"^[【\[]?(?:(?:Q|Ｑ|問題?|質問|例題|設問)\s?[0-9０-９]{1,3}(?:[】\]]|[】\]]?[.．:：)）、\s\u3000]+)"
    r"|(?:Q|Ｑ)[】\]]?[.．:：)）、]|(?:問題?|質問|例題|設問)(?:[】\]]|[.．:：)）、\s\u3000]))\s*(\S.*)$"
)
_ANSWER = re.compile(
    r"^(?:A|Ａ|答え?|回答|解答)\s?[0-9０-９]{0,3}"
    r"(?:[.．:：)）、\s\u3000]+\S|[.．:：]?$)"
)
_BRACKET = re.compile(r"^[【≪《＜〔［]([^】≫》＞〕］\n]{1,60})[】≫》＞〕］][\s\u3000]*$")
_NUMBERED_BRACKET = re.compile(
    r"^[【≪《＜〔［][0-9０-９一二三四五六七八九十]{1,3}[】≫》＞〕］]"
    r"(\s*\S.*)$"
)
_SCRAPBOX = re.compile(r"^\[(\*{1,5}) ([^\]\n]{1,60})\]$")
_SYMBOL = re.compile(
    r"^([■□◆◇▼▽▲△★☆◎●▶►▷➤❖◉◈✦✧▣✅✔☑🔷🔶🔹🔸📌💡📝]+|[〇○◯](?![〇○◯])"
    r"|[\U0001f300-\U0001faff]\ufe0f?(?=[ \u3000]))[\s\u3000]*(\S.*)$"
)
_ROUND = str.maketrans(dict.fromkeys("○◯", "〇"))
_BOLD = re.compile(r"^\*\*([^*\n]{1,60})\*\*[:：]?$|^__([^_\n]{1,60})__$")
_DECORATED = re.compile(r"^([-=*~─━―＝]{2,6})[ \u3000]?([^-=*~─━―＝\s|][^|]{0,60}?)[ \u3000]?\1$")
_CONTAINER = re.compile(r"^:::+|^</?(?:details|summary|div|br|aside|figure)\b", re.I)
_LOOSE_ROW = re.compile(r"^[^|｜]+[|｜].*[|｜]$")


def classify(content: str, start: int, end: int) -> Line:
    """What one line is by its looks."""
    body = content.strip(" \t\u3000\ufeff")
    if not body or body.isspace():
        return Line(start, end, Kind.BLANK)
    leading = content[: content.index(body[0])].expandtabs(TAB_WIDTH).replace("\u3000", "  ")
    indent = len(leading)
    quoted = re.sub(r"^(?:>\s?)+", "", body[:MAX_LABEL_CHARS])
    if quoted != body[:MAX_LABEL_CHARS]:
        return Line(start, end, Kind.TEXT, ">", indent=indent, label=quoted)
    if heading := _heading(content, body):
        level, label = heading
        return Line(start, end, Kind.HEADING, f"#{level}", level, 0, label)
    if _RULE.match(body):
        return Line(start, end, Kind.RULE, body[0], label=body[:MAX_LABEL_CHARS])
    for mark, label, level in _marks(body):  # the first that fits
        label = label.strip()[:MAX_LABEL_CHARS]
        return Line(start, end, Kind.MARKED, mark, level, indent, label)
    if bullet := _BULLET.match(body):
        label = bullet.group(2).strip()[:MAX_LABEL_CHARS]
        return Line(start, end, Kind.BULLET, bullet.group(1), 0, indent, label)
    label = body[:MAX_LABEL_CHARS]
    if body.startswith("|") or _LOOSE_ROW.match(body) or body.count("\t") >= 2:
        return Line(start, end, Kind.ROW, "|", 0, indent, label)
    mark = ":::" if _CONTAINER.match(body) else ""
    return Line(start, end, Kind.TEXT, mark, 0, indent, label)


def is_answer(label: str) -> bool:
    """The answer's line of a question-and-answer list: `A. …`, `答：…`."""
    return bool(_ANSWER.match(label))


def next_lines(lines: Sequence[Line]) -> list[int | None]:
    """For each line the number of the next one that is not blank."""
    following: list[int | None] = [None] * len(lines)
    below: int | None = None
    for index in range(len(lines) - 1, -1, -1):
        following[index] = below
        if lines[index].kind is not Kind.BLANK:
            below = index
    return following


def _heading(content: str, body: str) -> tuple[int, str] | None:
    """(level, label) of `## …`, `== … ==` and `h2. …`; `#word` is a tag, not a heading."""
    if atx := _ATX.match(content):
        label = content[atx.end() :].strip(" \t\u3000").rstrip("#").rstrip(" \t\u3000")
        level = len(atx.group(1))
        return (level, label[:MAX_LABEL_CHARS]) if label and (atx.group(2) or level > 1) else None
    if wiki := _WIKI_HEADING.match(body):
        label = (wiki.group(2) or wiki.group(4)).rstrip("= \t")
        level = int(wiki.group(3)) if wiki.group(3) else len(wiki.group(1)) - 1
        return (level, label[:MAX_LABEL_CHARS]) if len(label) <= MAX_HEADING_CHARS else None
    return None


def _marks(body: str) -> Iterator[tuple[str, str, int]]:
    """(mark class, label, depth) when a line opens with something that may make it a heading."""
    if found := _CHAPTER.match(body):
        yield f"第{found.group(1)}", body, 1
    elif found := _ENGLISH_CHAPTER.match(body):
        yield found.group(1).lower(), body, 1
    elif found := _QUESTION.match(body):
        yield "Q", body, 1
    elif found := _BRACKET.match(body):
        yield body[0], found.group(1), 1
    elif found := _SCRAPBOX.match(body):
        yield f"[{found.group(1)}", found.group(2), 1
    elif found := _BOLD.match(body):
        yield "**", found.group(1) or found.group(2), 1
    elif found := _SYMBOL.match(body):
        symbol = found.group(1)[0].translate(_ROUND)
        yield "📌" if symbol > "\U0001f000" else symbol, found.group(2), 1
    elif found := _DECORATED.match(body):
        yield found.group(1), found.group(2), 1
    else:
        yield from _numbers(body)


def _numbers(body: str) -> Iterator[tuple[str, str, int]]:
    if _CIRCLED.match(body):
        yield "①", body, 1
    elif found := _NUMBERED_BRACKET.match(body):
        yield f"{body[0]}1", body, 1
    elif found := _PAREN.match(body):
        kind = next(number for number in range(4) if found.group(number + 1))
        yield _PAREN_MARKS[kind], body, 1
    elif found := _COUNTED.match(body):
        yield "Ⅰ" if found.group(1) >= "Ⅰ" and found.group(1) <= "Ⅻ" else "一、", body, 1
    elif (found := _OUTLINE.match(body)) and not _QUANTITY.match(body):
        depth = len(re.split(r"[-.．－]", found.group(1)))
        yield "1." * depth, body, depth
