"""Which lines head what follows, and how deep: decided over the whole note, mark by mark.

A mark (■, 〇, 【】, `1-2.`, a bare short line …) can be a heading in one note and a bullet in the
next. It heads when most of its lines look like headings: short, no full stop, something else
below. Marks are ranked by how seldom they occur, since a chapter holds many paragraphs, with a
prior for what writers usually mean by them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from rag.parsing.lines import MAX_HEADING_CHARS, MAX_QUESTION_HEADING_CHARS, Kind, Line, is_answer

BARE = "bare"
FIXED_RANKS = {"第部": 6.0, "第編": 6.1, "第章": 6.5, "第節": 6.7, "第項": 6.8}
PRIORS = {BARE: 0.0, "■": 0.5, "□": 0.7, "◆": 0.5, "◇": 0.7, "★": 0.5, "☆": 0.7, "◎": 0.5}
DEFAULT_PRIOR = 1.0
MARK_PRIORS = {"〇": 1.0, "●": 1.5, "▶": 1.5, "►": 1.5, "(1)": 0.5, "①": 2.0, "**": 2.0, "Q": 2.5}
BULLET_PRIOR = 4.0
BOILERPLATE = frozenset(
    {
        "contents",
        "discussion",
        "comments",
        "no responses yet",
        "目次",
        "コメント",
        "シェア",
        "いいね",
    }
    | {"シェアする", "関連記事", "広告", "スポンサーリンク", "もくじ", "目次を開く", "toc"}
)
"""Lines that a site puts around a note; none of them heads anything."""
MIN_HEADING_SHARE = 0.5
MIN_OWNING_SHARE = 0.25

_SENTENCE_END = re.compile(r"[。．、,，!！;；]$|[^A-Z]\.$")
_PREDICATE_END = re.compile(
    r"(?:[うくすつぬふむゆるぐずぶただ]|です|ます|ません|ない|たい|しい|よい|良い|いい|れば|ので|から|けど|って|"
    r"[をにはがもへとでの]|から|より|[かねよな])$"
)
_CLAUSE = re.compile(r"^.{6,}を.{2,}|[にで]\S{2,}(?:から|[にでが])\S{2,}")
_PAIR = re.compile(r"\S[:：]\s*\S")
_NOUN_LIKE_END = re.compile(
    r"(?:とは|について|まで|こと|もの|まとめ|はじめに|おわりに|さいごに|最後に|最初に|ために|ごとに|使い方|違い|流れ|しくみ|など)$"
)
_CONTINUES = re.compile(
    r"^(?:[をにがはとでのもへや、。）)」』]|から|より|まで|です|ます)(?![ぁ-ん]*[：:])"
)
_NOT_HEADING = re.compile(
    r"https?://|^[※＊→⇒↓【0-9０-９]|^[\W\d_]+$|^[<{\[(].*[>}\])]$|[=;{}]\s*$|^\S+:\s|^!\[|\|"
)


def find_headings(lines: Sequence[Line]) -> dict[int, float]:
    """Line number → rank of its heading (smaller is higher) for every line that is a heading."""
    explicit = sum(line.kind is Kind.HEADING for line in lines) >= 2
    following = _next_lines(lines)
    marks = _heading_marks(lines, following)
    roles: dict[int, str] = {}
    for index, line in enumerate(lines):
        if line.kind is Kind.HEADING:
            roles[index] = line.mark
        elif line.kind is Kind.MARKED and line.mark in marks:
            if _looks_like_heading(lines, index, following):
                roles[index] = line.mark
        elif not explicit and line.kind is Kind.TEXT and _is_bare_heading(lines, index, following):
            roles[index] = BARE
    if not explicit:
        roles.update(_bullet_headings(lines, following, roles))
    return _rank(lines, {i: mark for i, mark in roles.items() if not _is_label(lines, i, roles)})


def _bullet_headings(
    lines: Sequence[Line], following: Sequence[int | None], roles: Mapping[int, str]
) -> dict[int, str]:
    """Bullets that head the text below them, in notes where bullets of that mark often do."""
    bullets = Counter(line.mark for line in lines if line.kind is Kind.BULLET)
    owning = {
        index: line.mark
        for index, line in enumerate(lines)
        if line.kind is Kind.BULLET
        and roles.get(following[index] or 0) != BARE
        and _owns_text_below(lines, index, following)
    }
    owners = Counter(owning.values())
    return {
        index: mark
        for index, mark in owning.items()
        if owners[mark] >= MIN_OWNING_SHARE * bullets[mark]
    }


def _rank(lines: Sequence[Line], roles: dict[int, str]) -> dict[int, float]:
    counts = Counter(line.mark for line in lines if line.kind is not Kind.TEXT)
    counts[BARE] = sum(mark == BARE for mark in roles.values())
    ranks: dict[int, float] = {}
    for index, mark in roles.items():
        line = lines[index]
        if line.kind is Kind.HEADING:
            ranks[index] = float(line.level)
        elif line.kind is Kind.BULLET:
            ranks[index] = 10 + math.log2(counts[mark]) + BULLET_PRIOR + line.indent / 100
        elif mark.startswith("1."):
            # 1-2. stands below 1. however seldom it occurs
            first = counts["1."] or counts[mark]
            ranks[index] = 10 + math.log2(first) + (line.level - 1) * 0.1
        else:
            prior = PRIORS.get(mark, MARK_PRIORS.get(mark, DEFAULT_PRIOR))
            ranks[index] = FIXED_RANKS.get(mark, 10 + math.log2(counts[mark]) + prior)
    return ranks


def _heading_marks(lines: Sequence[Line], following: Sequence[int | None]) -> set[str]:
    """Marks most of whose lines look like headings."""
    all_lines: Counter[str] = Counter()
    heading_like: Counter[str] = Counter()
    for index, line in enumerate(lines):
        if line.kind is Kind.MARKED:
            all_lines[line.mark] += 1
            heading_like[line.mark] += _looks_like_heading(lines, index, following)
    return {mark for mark, n in all_lines.items() if heading_like[mark] >= MIN_HEADING_SHARE * n}


def _looks_like_heading(lines: Sequence[Line], index: int, following: Sequence[int | None]) -> bool:
    """Short, not a sentence, and something other than its like comes next."""
    line = lines[index]
    below = following[index]
    if below is None:
        return False
    if line.mark == "Q":
        return len(line.label) <= MAX_QUESTION_HEADING_CHARS
    if len(line.label) > MAX_HEADING_CHARS or _SENTENCE_END.search(line.label):
        return False
    return not (lines[below].kind is Kind.MARKED and lines[below].mark == line.mark)


def _is_label(lines: Sequence[Line], index: int, roles: Mapping[int, str]) -> bool:
    """【…】 right under a heading names that heading's subject again: it is body, not a level."""
    above = index - 1
    return (
        lines[index].mark in "【≪《＜〔["
        and above in roles
        and roles[above] != lines[index].mark
        and lines[above].end_index == lines[index].start_index
    )


def _owns_text_below(lines: Sequence[Line], index: int, following: Sequence[int | None]) -> bool:
    """A short noun as a bullet with unindented text of its own below it, as in loose outlines."""
    line, below = lines[index], following[index]
    if below != index + 1 or len(line.label) > MAX_HEADING_CHARS or not line.label:
        return False
    under = lines[below]
    if under.indent > line.indent or _CONTINUES.match(under.label) or is_answer(under.label):
        return False
    if _is_sentence(line.label) or line.label[-1] in ":：":
        return False
    return under.kind in (Kind.TEXT, Kind.MARKED) or (
        under.kind is Kind.BULLET and under.mark != line.mark
    )


def _is_bare_heading(lines: Sequence[Line], index: int, following: Sequence[int | None]) -> bool:
    """A short line without any mark, between what is longer or marked."""
    line, below = lines[index], following[index]
    label = line.label
    if below is None or line.indent or line.mark or len(label) > MAX_HEADING_CHARS:
        return False
    if _is_sentence(label) or _NOT_HEADING.search(label) or _CONTINUES.match(label):
        return False
    if _PAIR.search(label):
        return False
    if label[-1] in ":：" or is_answer(label) or label.casefold() in BOILERPLATE:
        return False
    under = lines[below]
    if _CONTINUES.match(under.label) or _is_continuation(lines, index):
        return False
    if under.kind is Kind.TEXT and not under.mark:
        return below > index + 1 or len(under.label) > len(label) or not _is_sentence(under.label)
    return True


def _is_continuation(lines: Sequence[Line], index: int) -> bool:
    """The line above broke off in the middle of a sentence (where a link stood)."""
    if index == 0:
        return False
    above = lines[index - 1]
    if above.kind not in (Kind.TEXT, Kind.BULLET, Kind.MARKED) or not above.label:
        return False
    return above.label[-1] in "、,:：「（(" or bool(
        above.kind is Kind.TEXT
        and re.search(r"(?:[をにがはとでへや]|から|より|って)$", above.label)
    )


def _is_sentence(label: str) -> bool:
    return bool(
        _SENTENCE_END.search(label)
        or (
            (_PREDICATE_END.search(label) or _CLAUSE.search(label))
            and not _NOUN_LIKE_END.search(label)
        )
    )


def _next_lines(lines: Sequence[Line]) -> list[int | None]:
    """For each line the number of the next one that is not blank."""
    following: list[int | None] = [None] * len(lines)
    below: int | None = None
    for index in range(len(lines) - 1, -1, -1):
        following[index] = below
        if lines[index].kind is not Kind.BLANK:
            below = index
    return following
