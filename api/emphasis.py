"""`*` and `**` as Japanese needs them: `これは**「重要」**です` is bold.

CommonMark takes 「」、。 next to the marks for the edge of a word and kanji for its inside, so that
in text without spaces half of the marks stay visible. The rule here is that of "CJK-friendly
emphasis" (https://github.com/tats-u/markdown-cjk-friendly): wide punctuation counts as a letter,
and a wide letter on the other side as an edge.
"""

from __future__ import annotations

import unicodedata

from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.emphasis import tokenize
from markdown_it.rules_inline.state_inline import Delimiter


def tokenize_emphasis(state: StateInline, silent: bool) -> bool:
    """The rule `emphasis` of markdown-it, but for what lets `*` open and close."""
    before = len(state.delimiters)
    start = state.pos
    if not tokenize(state, silent):
        return False
    if state.src[start] == "*":
        last = state.src[start - 1] if start > 0 else " "
        following = state.src[state.pos] if state.pos < state.posMax else " "
        for delimiter in state.delimiters[before:]:
            _relax(delimiter, last, following)
    return True


def _relax(delimiter: Delimiter, last: str, following: str) -> None:
    if not following.isspace():
        delimiter.open |= not _is_narrow_mark(following) or _is_edge(last)
    if not last.isspace():
        delimiter.close |= not _is_narrow_mark(last) or _is_edge(following)


def _is_edge(char: str) -> bool:
    return char.isspace() or _is_punctuation(char) or _is_wide(char)


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def _is_narrow_mark(char: str) -> bool:
    return _is_punctuation(char) and not _is_wide(char)
