"""Japanese text, pure functions: what is searched for (words, bigrams), and where sentences end.

Nothing here changes a note: normalised text is only ever compared, never shown or cited.
"""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from typing import Any

TEXT_VERSION = 1
"""Stands in the manifest: raised whenever the same text would give other terms."""

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | {"〜": "~", "～": "~", "゛": "", "゜": ""})
_LATIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.+#/:-]*[A-Za-z0-9+#])?")
_BIGRAM_RUN = re.compile(r"[a-z0-9](?:[a-z0-9_.+#]*[a-z0-9+#])?|[^\W\da-z_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CONTENT_POS = frozenset({"名詞", "動詞", "形容詞", "形状詞", "副詞", "接頭辞", "代名詞", "連体詞"})
_STOP_WORDS = frozenset(
    {
        "為る",
        "居る",
        "有る",
        "成る",
        "出来る",
        "事",
        "物",
        "此れ",
        "其れ",
        "何",
        "何れ",
        "方",
        "為",
        "様",
    }
    | {"時", "場合", "教える", "下さる", "言う", "貰う"}
)
_SENTENCE_END = re.compile(r"[。．！？!?]+[」』）)】］\]]*(?![。．！？!?])|\n+")
_MARKDOWN = re.compile(
    r"!\[([^\]]*)\]\([^)\s]*\)|\[([^\]]+)\]\([^)\s]*\)|\[\[([^\]|]+)(?:\|([^\]]+))?\]\]"
    r"|</?[a-zA-Z][^>\n]*>|<!--.*?-->|\*\*|__|~~|`+|\[\^[^\]]+\]:?|^\s*(?:```|~~~|:::).*$"
    r"|^\s*\|?(?:\s*:?-{3,}:?\s*\|)+\s*(?::?-{3,}:?)?\s*$|^\s*(?:=+|-{3,})\s*$",
    re.MULTILINE | re.DOTALL,
)
_LINE_MARKER = re.compile(
    r"^[\s\u3000]*(?:#{1,6}\s*|>\s?(?:\[![^\]]*\][+-]?\s*)?|[-*+•・●〇○◯◦‣▪■□◆◇▶►▼▽★☆※◎→⇒]+[\s\u3000]*)+"
)
_CELL_END = re.compile(r"</t[dh]\s*>\s*(?=<t[dh])", re.I)
_BLOCK_TAG = re.compile(
    r"<br\s*/?>|</(?:p|li|tr|div|dt|dd|h[1-6]|ul|ol|table|blockquote)\s*>", re.I
)
_ENTITY = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&nbsp;": " ", "&#39;": "'"}


def normalize_for_search(text: str) -> str:
    """NFKC, lower case, dashes made one; the length may change, so never for offsets."""
    return unicodedata.normalize("NFKC", text).translate(_DASHES).lower()


def plain_text(text: str) -> str:
    """What a reader sees of a piece of a note: without markers, emphasis, link targets and tags."""
    text = _CELL_END.sub(" | ", text)
    text = _BLOCK_TAG.sub("\n", text)
    text = _MARKDOWN.sub(lambda found: next((group for group in found.groups() if group), ""), text)
    for entity, character in _ENTITY.items():
        text = text.replace(entity, character)
    lines = (_LINE_MARKER.sub("", line).strip(" \t\u3000|") for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def latin_parts(word: str) -> list[str]:
    """The parts of a compound Latin name: `CodeDeploy` → code, deploy; `a-b.c` → a, b, c."""
    parts = [part for piece in re.split(r"[^A-Za-z0-9]+", word) for part in _CAMEL.split(piece)]
    return [part.lower() for part in parts if part]


def bigrams(text: str) -> list[str]:
    """Character bigrams of each run of Japanese; Latin words and numbers whole."""
    terms: list[str] = []
    for found in _BIGRAM_RUN.finditer(normalize_for_search(text)):
        run = found.group()
        if run[0].isascii() or len(run) == 1:
            terms.append(run)
        else:
            terms.extend(run[index : index + 2] for index in range(len(run) - 1))
    return terms


@functools.lru_cache(maxsize=1)
def _tokenizer() -> Any:  # noqa: ANN401  (SudachiPy ships no types)
    from sudachipy import Dictionary, SplitMode

    return Dictionary(dict="core").create(mode=SplitMode.A)


_TOKENIZER_LOCK = threading.Lock()
_MAX_SUDACHI_BYTES = 40_000
"""SudachiPy refuses input over 49,149 bytes."""


def words(text: str) -> list[str]:
    """Content words: Japanese in Sudachi's normalised form (split mode A), Latin words and numbers.

    Particles, auxiliaries and symbols are dropped. A compound Latin name gives itself and its
    parts: `CodeDeploy` → codedeploy, code, deploy; `us-east-1` → us-east-1, us, east, 1.
    """
    terms: list[str] = []
    width_folded = unicodedata.normalize("NFKC", text).translate(_DASHES)
    end = 0
    for found in _LATIN.finditer(width_folded):
        terms.extend(_japanese_words(width_folded[end : found.start()]))
        terms.append(found.group().lower())
        parts = latin_parts(found.group())
        if len(parts) > 1:
            terms.extend(part for part in parts if part != terms[-1])
        end = found.end()
    terms.extend(_japanese_words(width_folded[end:]))
    return terms


def _japanese_words(text: str) -> list[str]:
    terms: list[str] = []
    for piece in _pieces(text):
        with _TOKENIZER_LOCK:
            for morpheme in _tokenizer().tokenize(piece):
                part = morpheme.part_of_speech()[0]
                form = morpheme.normalized_form()
                if part in _CONTENT_POS and form not in _STOP_WORDS and form[0].isalnum():
                    terms.append(form)
    return terms


def _pieces(text: str) -> list[str]:
    """The text in pieces Sudachi accepts, cut at line ends where it can be."""
    pieces: list[str] = []
    for line in filter(str.strip, text.splitlines()):
        step = _MAX_SUDACHI_BYTES // 4
        pieces.extend(line[start : start + step] for start in range(0, len(line), step))
    return pieces


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence or line, white space trimmed; a full stop in 「」 ends none."""
    spans: list[tuple[int, int]] = []
    start = 0
    for found in [*_SENTENCE_END.finditer(text), None]:
        end = found.end() if found else len(text)
        if found and "\n" not in found.group() and not _ends_sentence(text, start, found):
            continue
        piece = text[start:end]
        left = start + len(piece) - len(piece.lstrip())
        right = start + len(piece.rstrip())
        if left < right:
            spans.append((left, right))
        start = end
    return spans


def _ends_sentence(text: str, start: int, found: re.Match[str]) -> bool:
    """Not inside an open bracket of this sentence, nor an ASCII ! or ? inside a word or code."""
    before = text[start : found.end()]
    depth = sum(before.count(mark) for mark in "「『（(") - sum(before.count(m) for m in "」』）)")
    if depth > 0:
        return False
    following = text[found.end() : found.end() + 1]
    return not (found.group()[0] in "!?" and following.isascii() and following.strip())
