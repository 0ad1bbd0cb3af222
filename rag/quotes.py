"""Stage 8: quotes of an answer → whether and where a note holds them, literally; pure.

Compared after harmonising what changes no meaning: width, wave dashes and dashes, quotation marks,
emphasis marks, line breaks. Endings, kana and case stay as they are.
"""

from __future__ import annotations

import re
import unicodedata

_QUOTED = re.compile(
    r"「([^「」]*(?:「[^「」]*」[^「」]*)*)」|『([^『』]*)』|“([^“”]*)”|\"([^\"]*)\""
)
_SAME = str.maketrans(
    dict.fromkeys("〜～∼", "~")
    | dict.fromkeys("‐‑‒–—―−", "-")
    | dict.fromkeys("“”„‟「」『』", '"')
    | dict.fromkeys("‘’", "'")
)
_DROPPED = frozenset("*`\u200b\ufeff")


def quotes_in(text: str) -> list[str]:
    """What stands between quotation marks, outermost ones, without empty quotes."""
    found = ("".join(part or "" for part in groups) for groups in _QUOTED.findall(text))
    return [quote for quote in found if quote.strip()]


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """(start, end) in `text` of its first literal occurrence; None when there is none."""
    wanted, _ = _harmonize(quote)
    if not wanted:
        return None
    harmonized, places = _harmonize(text)
    start = harmonized.find(wanted)
    if start < 0:
        return None
    return places[start], places[start + len(wanted) - 1] + 1


def _harmonize(text: str) -> tuple[str, list[int]]:
    """The text to compare, and for each of its characters the index in `text` it comes from.

    White space goes, but one space stays between Latin letters or digits: `1 0` is not `10`.
    """
    chars: list[str] = []
    places: list[int] = []
    gap = False
    for index, char in enumerate(text):
        if char.isspace():
            gap = True
            continue
        if char in _DROPPED:
            continue
        folded = unicodedata.normalize("NFKC", char).translate(_SAME)
        if gap and chars and _is_latin(chars[-1]) and _is_latin(folded[:1]):
            chars.append(" ")
            places.append(index)
        gap = False
        chars.extend(folded)
        places.extend([index] * len(folded))
    return "".join(chars), places


def _is_latin(char: str) -> bool:
    return char.isascii() and char.isalnum()
