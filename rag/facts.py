"""Stage 8: the hard facts of a sentence — numbers with their unit, Latin names — and whether a
cited span holds them; pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from rag.text import normalize_for_search

_UNITS = (
    "時間|時|分|秒|ミリ秒|営業日|日|週|か月|ヶ月|カ月|ヵ月|ケ月|月|年|回|件|個|台|円|ドル|セント|倍|人|名|つ"
    "|番|行|文字|種類|種|本|枚|割|段階|ページ|世代|箇所|か所|点|社|拠点|歳|度|%|パーセント|リージョン|ゾーン"
    "|バイト|ビット|キロ|メガ|ギガ|テラ|ノード|ポート|レベル|層|パターン|ステップ|以上|以下|未満"
)
_TOKEN = re.compile(
    r"(?P<name>[a-z][a-z0-9]*(?:[_.:/+#@$-]+[a-z0-9]+)*[+#]*)"
    rf"|(?P<number>\d+(?:,\d{{3}})*(?:\.\d+)?)(?P<scale>万|億|千)?\s?(?P<unit>{_UNITS}|[a-z]+(?:/[a-z]+)?)?"
)
_KANJI_NUMBER = re.compile(
    r"(?<![一二三四五六七八九十百千])([一二三四五六七八九十])(?=つ|種類|個|回|台|か所|箇所|段階|件|人|秒|時間)"
)
_KANJI_DIGITS = {kanji: str(value) for value, kanji in enumerate("一二三四五六七八九十", start=1)}
_TOPIC_END = re.compile(r"[はも、，,]")
_SCALES = {"千": 1_000, "万": 10_000, "億": 100_000_000}
_SAME_UNIT = {
    "ヶ月": "か月",
    "カ月": "か月",
    "ヵ月": "か月",
    "ケ月": "か月",
    "パーセント": "%",
    "箇所": "か所",
}
_NAMES_OF_NOTHING = frozenset({"aws", "amazon", "the", "a", "of", "and", "or"})
"""What a sentence may add or leave out without saying something else."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and the unit right behind it, "" without one."""

    value: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What must stand in the span that a sentence cites."""

    quantities: tuple[Quantity, ...]
    names: tuple[str, ...]


def facts_of(text: str) -> Facts:
    """All facts in order of appearance, each once."""
    folded = _KANJI_NUMBER.sub(lambda found: _KANJI_DIGITS[found[1]], normalize_for_search(text))
    quantities: list[Quantity] = []
    names: list[str] = []
    for found in _TOKEN.finditer(folded):
        if found["number"]:
            value = Decimal(found["number"].replace(",", "")) * _SCALES.get(found["scale"] or "", 1)
            unit = found["unit"] or ""
            quantities.append(Quantity(value, _SAME_UNIT.get(unit, unit)))
        elif found["name"] not in _NAMES_OF_NOTHING:
            names.append(found["name"])
    return Facts(tuple(dict.fromkeys(quantities)), tuple(dict.fromkeys(names)))


def missing_facts(
    statement: str, span: str, place: str, other_names: Callable[[str], Iterable[str]]
) -> list[str]:
    """The facts of `statement` that `span` does not hold.

    `place`, what the span stands under, may name what the statement is about (up to its first は
    or comma) or give the unit of a bare number (the column of a table), but holds no number.
    `other_names` gives what else a name is called.
    """
    said, held = facts_of(statement), facts_of(span)
    missing = [
        f"{quantity.value}{quantity.unit}"
        for quantity in said.quantities
        if not any(_same(quantity, other, place) for other in held.quantities)
    ]
    inside = normalize_for_search(span)
    around = f"{normalize_for_search(place)}\n{inside}"
    topics = facts_of(_TOPIC_END.split(statement, maxsplit=1)[0]).names
    for name in said.names:
        others = map(normalize_for_search, other_names(name))
        called = (name, *(other for other in others if _is_short_for(name, other)))
        if not any(_stands_in(word, around if name in topics else inside) for word in called):
            missing.append(name)
    return missing


def _is_short_for(one: str, other: str) -> bool:
    """Both spell the same name: Japanese, or the one's letters stand in the other in order.

    Of what users call aliases some only belong together, such as Chef and Puppet.
    """
    short, long = sorted((one, other), key=len)
    letters = iter(long)
    return not other.isascii() or all(letter in letters for letter in short)


def _same(said: Quantity, held: Quantity, place: str) -> bool:
    if said.value != held.value:
        return False
    bare = not held.unit and said.unit in normalize_for_search(place)
    return said.unit == held.unit or not said.unit or bare


def _stands_in(name: str, text: str) -> bool:
    """As a whole word; `code deploy` and `code-deploy` are `codedeploy`, `eb` is not in `ebs`."""
    pattern = r"[\s_-]?".join(map(re.escape, re.sub(r"[\s_-]", "", name)))
    return re.search(rf"(?<![a-z0-9_]){pattern}(?![a-z0-9_])", text) is not None
