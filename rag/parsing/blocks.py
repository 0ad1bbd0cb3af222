"""The lines of a section → its blocks, each with what it needs to be understood alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rag.parsing.lines import Kind, Line, next_lines
from rag.parsing.tables import RULE_MARK, cells
from rag.parsing.terms import owns_deeper
from rag.text import plain_text
from rag.types import Block, Owner

MAX_OWNER_CHARS = 80
MAX_HEADER_CHARS = 200
MAX_NAME_CHARS = 40
MAX_OWNERS = 6
"""Of a deeply nested bullet the nearest owners say enough."""

_INTRODUCES = re.compile(
    r"(?:[:：]|には|の手順|の方法|一覧|は以下|以下の?(?:通り|とおり)|次の(?:通り|とおり)|の種類|(?:次|以下)に示す"
    r"|[0-9一二三四五]つ(?:ある)?|[0-9]種類?(?:ある|です))[。.]?$"
)
_NAME_END = re.compile(
    r"：|:(?=\s|[^\x00-\x7f]|$)|[ \u3000]?(?:…|・・・|→|⇒|＝)|\u3000|\t|[ \u3000][-–—=][ \u3000]"
)
_CALLOUT = re.compile(
    r"^\[!\w+\][+-]?\s*|^:::+\s*(?:details|message|note)?\s*(?:info|warn|alert)?\s*"
)
_LISTED = frozenset({Kind.BULLET, Kind.MARKED, Kind.TERM, Kind.ROW, Kind.HEADER_ROW})


def build_blocks(body: Sequence[Line], heads: frozenset[int]) -> tuple[Block, ...]:
    """Paragraphs, bullets with their text, definitions, rows and code; `heads` are headings."""
    blocks: list[Block] = []
    names: list[str] = []
    open_above = _Owners()
    previous: Line | None = None
    following = next_lines(body)
    for number, line in enumerate(body):
        if line.kind is not Kind.BLANK:
            found = following[number]
            below = None if found is None else body[found]
            owning = line.kind is Kind.TERM or owns_deeper(body, number)
            depth = open_above.term_depth()
            owners = open_above.before(line, previous)
            if previous is not None and _continues(previous, line, owning, depth):
                blocks[-1] = Block(blocks[-1].start_index, line.end_index, blocks[-1].owners)
            else:
                blocks.append(Block(line.start_index, line.end_index, owners))
                names.append("" if number in heads else _name(line, owning))
            if number not in heads:
                open_above.after(line, owning, below)
        previous = line
    return tuple(_named(block, name) for block, name in zip(blocks, names, strict=True))


@dataclass(slots=True)
class _Owners:
    """What is open above a line: bullets and terms by indent, a list's introduction, a header."""

    stack: list[tuple[int, Line, Owner]] = field(default_factory=list)
    introducer: Owner | None = None
    header: Owner | None = None
    container: Owner | None = None

    def term_depth(self) -> int:
        """Indent of the innermost open line if it is a term; −1 otherwise."""
        if not self.stack or self.stack[-1][1].kind in (Kind.BULLET, Kind.MARKED):
            return -1
        return self.stack[-1][0]

    def before(self, line: Line, previous: Line | None) -> tuple[Owner, ...]:
        """Closes what `line` ends and gives what owns it, outermost first."""
        after_blank = previous is None or previous.kind is Kind.BLANK
        if line.kind is Kind.RULE:
            self.stack.clear()
            self.introducer = self.header = self.container = None
        elif line.kind in (Kind.BULLET, Kind.MARKED) or (
            line.kind is Kind.TERM and not after_blank
        ):
            self._close_list_items(line)
        else:
            self._close_text(line, after_blank)
        if line.kind is not Kind.ROW or after_blank:
            self.header = None
        owners = [owner for _, _, owner in self.stack[-MAX_OWNERS:]]
        if self.introducer is not None and not owners:
            owners = [self.introducer]
        if self.container is not None:
            owners.insert(0, self.container)
        if line.owners:
            return (*owners, *line.owners)
        return (*owners, self.header) if self.header is not None else tuple(owners)

    def after(self, line: Line, owning: bool, below: Line | None) -> None:
        """Opens what `line` begins."""
        if line.kind is Kind.HEADER_ROW:
            label = " | ".join(cells(line.label)) if line.label else ""
            self.header = _owner(line, label, MAX_HEADER_CHARS)
        elif line.mark == ":::":
            self._open_container(line)
        elif owning or line.kind in (Kind.BULLET, Kind.MARKED):
            owner = _owner(line, line.label, MAX_OWNER_CHARS)
            if owner.text:
                self.stack.append((line.indent, line, owner))
        listed = below is not None and below.kind in _LISTED and below.indent <= line.indent
        if listed and line.kind in (Kind.TEXT, Kind.BULLET) and _INTRODUCES.search(line.label):
            self.introducer = _owner(line, line.label, MAX_OWNER_CHARS)

    def _open_container(self, line: Line) -> None:
        """`:::details title` and `<details><summary>title</summary>` name what they hold."""
        title = _owner(line, _CALLOUT.sub("", line.label), MAX_OWNER_CHARS)
        if title.text:
            self.container = title
        elif line.label.startswith((":::", "</")):
            self.container = None

    def _close_list_items(self, line: Line) -> None:
        """Deeper ones, and of the same indent those from the same mark on; a new mark nests."""
        while self.stack and self.stack[-1][0] > line.indent:
            self.stack.pop()
        first = len(self.stack)
        while first and self.stack[first - 1][0] == line.indent:
            first -= 1
        for n in range(first, len(self.stack)):
            opened = self.stack[n][1]
            stronger = line.kind is Kind.MARKED and opened.kind is Kind.BULLET
            if (opened.kind, opened.mark) == (line.kind, line.mark) or stronger:
                del self.stack[n:]
                break

    def _close_text(self, line: Line, after_blank: bool) -> None:
        """Right below a bullet text goes on with it; below a blank line only deeper text does."""
        if after_blank and line.indent == 0:
            self.introducer = None
        while self.stack and self.stack[-1][0] >= _depth_of(line):
            if not after_blank and self.stack[-1][1].kind in (Kind.BULLET, Kind.MARKED):
                break
            self.stack.pop()


def _continues(previous: Line, line: Line, owning: bool, depth: int) -> bool:
    """The line goes on with the block above: text under text or bullet, code under code."""
    if line.mark == RULE_MARK:
        return previous.kind is Kind.HEADER_ROW
    if line.kind is Kind.CODE:
        return previous.kind is Kind.CODE
    if line.kind is not Kind.TEXT or owning:
        return False
    if previous.kind is Kind.TEXT:
        return _depth_of(line) > depth
    return previous.kind in (Kind.TERM, Kind.BULLET, Kind.MARKED)


def _depth_of(line: Line) -> int:
    """Its indent; what is behind a colon stands below its term."""
    return line.indent + (line.kind is Kind.TEXT and line.label[:1] in (":", "："))


def _owner(line: Line, label: str, limit: int) -> Owner:
    text = " ".join(plain_text(label).split()).rstrip(":： ")
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return Owner(text, line.start_index, line.end_index)


def _name(line: Line, owning: bool) -> str:
    """What the pieces of a long block are called: a row's first cell, a bullet's subject."""
    if line.kind is Kind.ROW:
        name = next((cell for cell in cells(line.label) if cell), "") if line.label else ""
    elif line.mark == ">":
        name = line.label if line.label.startswith("[!") else ""
    elif owning or line.kind in (Kind.BULLET, Kind.MARKED):
        name = _NAME_END.split(line.label, maxsplit=1)[0]
    else:
        name = ""
    name = " ".join(plain_text(name).split())
    return name if len(name) <= MAX_NAME_CHARS else ""


def _named(block: Block, name: str) -> Block:
    """The block with itself as its innermost owner, for the pieces that are cut from it."""
    if not name:
        return block
    own = Owner(name, block.start_index, block.end_index)
    return Block(block.start_index, block.end_index, (*block.owners, own))
