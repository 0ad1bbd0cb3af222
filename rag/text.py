"""Japanese text, pure functions: what is searched for (words, bigrams), and where sentences end.

Nothing here changes a note: normalised text is only ever compared, never shown or cited.
"""

from __future__ import annotations

import bisect
import functools
import html
import re
import threading
import unicodedata
from typing import Any, NamedTuple

TEXT_VERSION = 3
"""Stands in the manifest: raised whenever the same text would give other terms."""

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | {"〜": "~", "～": "~", "゛": "", "゜": ""})
_UNSEEN = str.maketrans(dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", "")) | dict.fromkeys(
    (*range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)
"""What no reader sees: soft hyphens, characters without width, marks of writing direction."""
_LATIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.+#/:-]*[A-Za-z0-9+#])?")
_BIGRAM_RUN = re.compile(r"[a-z0-9](?:[a-z0-9_.+#]*[a-z0-9+#])?|[^\W\da-z_]+")
LATIN_WORD = re.compile(r"[a-z][a-z0-9]{2,}")
"""A term of `words` that is a Latin name; shorter ones are too often units or initials."""
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
_SENTENCE_END = re.compile(r"[。．！？!?]++[」』）)】］\]]*+(?![。．！？!?])|[\r\n]++")
_TAG_NAMES = (
    "a|abbr|address|article|aside|b|bdi|bdo|big|blockquote|body|br|button|caption|center|cite|code|col|colgroup"
    "|dd|del|details|dfn|div|dl|dt|em|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img"
    "|input|ins|kbd|label|li|link|main|mark|meta|nav|noscript|ol|p|pre|q|rp|rt|ruby|s|samp|section|small|source"
    "|span|strike|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|time|title|tr|tt|u|ul|var|video|wbr"
)
"""What else stands between < and > in a note is its author's: <namespace>, List<String>."""
_TAG = re.compile(rf"<(?=[A-Za-z/])/?(?:{_TAG_NAMES})(?:[\s/][^<>]{{0,2000}})?>", re.I)
_MARKDOWN = re.compile(
    r"^[ \t]*+(?:```|~~~)[^\n]*$|(?P<code>`{1,3})(?P<literal>[^`\n]{1,500})(?P=code)"
    r"|(?P<dunder>(?<!\w)__[a-z][a-z0-9_]{0,40}__(?!\w))"
    r"|!?\[(?P<linked>[^\[\]\n]{0,300})\]\([^()\s]{0,2000}(?:\([^()\s]{0,200}\))?[^()\s]{0,2000}\)"
    r"|\[\[(?:[^\[\]|\n]{1,200}\|)?(?P<wiki>[^\[\]|\n]{1,200})\]\]"
    r"|<!--(?:(?!<!--).){0,5000}?-->|(?<![0-9A-Za-z])\*\*|\*\*(?![0-9A-Za-z])|(?<!\w)__|__(?!\w)|~~|`+"
    r"|\[\^[^\]\s]{1,50}\]:?"
    r"|^[ \t]*+:::++[ \t]*+(?:(?:message|details|note|info|warn|alert)\b[ \t]*+)*+"
    r"|^(?=[^\n]*-)(?=[^\n]*\|)[ \t|:-]++$|^[ \t]*+(?:=++|-{3,}+)[ \t]*+$",
    re.MULTILINE | re.DOTALL,
)
_LINE_MARKER = re.compile(
    r"^\s*+(?:#{2,6}\s*+|#\s++|>\s?(?:\[![^\]\n]{1,30}\][+-]?\s*+)?"
    r"|(?:[-*+]\s++)+(?:\[[ xX]\]\s++)?|[•・●〇○◯◦‣▪■□◆◇▶►▼▽★☆※◎→⇒]++\s*+)+"
)
_LONG_GAP = re.compile(r"[ \t\u3000]{3,}+")
_CELL = re.compile(r"(?:</t[dh]\s*+>\s*+)?<t[dh](?:\s[^<>]{0,2000})?>", re.I)
_BLOCK_TAG = re.compile(
    r"<(?=[A-Za-z/])/?(?:br|p|li|tr|div|dt|dd|h[1-6]|ul|ol|dl|table|blockquote|caption)(?:[\s/][^<>]{0,2000})?>",
    re.I,
)
_SHOWN_GROUPS = ("literal", "dunder", "linked", "wiki")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def normalize_for_search(text: str) -> str:
    """NFKC, lower case, dashes made one, nothing unseen; the length may change: no offsets."""
    return _width_folded(text).lower()


def _width_folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text.translate(_UNSEEN)).translate(_DASHES)


def plain_text(text: str) -> str:
    """What a reader sees of a piece of a note: without markers, emphasis, link targets and tags."""
    text = _LONG_GAP.sub("  ", text)
    if "<" in text:
        text = _TAG.sub("", _BLOCK_TAG.sub("\n", _CELL.sub(" | ", text)))
    text = _MARKDOWN.sub(_shown, text)
    if "](" in text:  # an image that is a link
        text = _MARKDOWN.sub(_shown, text)
    text = _ENTITY.sub(lambda found: html.unescape(found.group()), text).replace("\xa0", " ")
    lines = (_LINE_MARKER.sub("", line).strip(" \t\u3000|") for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _shown(found: re.Match[str]) -> str:
    """The part of a piece of mark-up that a reader sees."""
    return next((found[name] for name in _SHOWN_GROUPS if found[name]), "")


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

    dictionary = Dictionary(dict="core")
    create = getattr(dictionary, "tokenizer", None) or dictionary.create  # named so before 0.7
    return create(mode=SplitMode.A)


_TOKENIZER_LOCK = threading.Lock()
_MAX_SUDACHI_BYTES = 40_000
"""SudachiPy refuses input over 49,149 bytes."""


def words(text: str) -> list[str]:
    """Content words: Japanese in Sudachi's normalised form (split mode A), Latin words and numbers.

    Particles, auxiliaries and symbols are dropped. A compound Latin name gives itself and its
    parts: `CodeDeploy` → codedeploy, code, deploy; `us-east-1` → us-east-1, us, east, 1.
    """
    terms: list[str] = []
    width_folded = _width_folded(text)
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
    return [
        form
        for _, part, form in morphemes(text)
        if part in _CONTENT_POS and form not in _STOP_WORDS and form[0].isalnum()
    ]


class Morpheme(NamedTuple):
    """As written, its part of speech, and Sudachi's normalised form."""

    surface: str
    part: str
    form: str


def morphemes(text: str) -> list[Morpheme]:
    """The text's morphemes in order, split mode A."""
    found: list[Morpheme] = []
    for piece in _pieces(text):
        with _TOKENIZER_LOCK:
            found.extend(
                Morpheme(one.surface(), one.part_of_speech()[0], one.normalized_form())
                for one in _tokenizer().tokenize(piece)
            )
    return found


def _pieces(text: str) -> list[str]:
    """The text in pieces Sudachi accepts, cut at line ends where it can be."""
    text = text.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates
    pieces: list[str] = []
    for line in filter(str.strip, text.splitlines()):
        step = _MAX_SUDACHI_BYTES // 4
        pieces.extend(line[start : start + step] for start in range(0, len(line), step))
    return pieces


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence or line, white space trimmed; a full stop in 「」 ends none."""
    spans: list[tuple[int, int]] = []
    tags = [found.span() for found in _TAG.finditer(text)] if "<" in text else []
    start = scanned = depth = 0
    for found in _SENTENCE_END.finditer(text):
        place = bisect.bisect_right(tags, (found.start(), len(text)))
        if place and found.start() < tags[place - 1][1]:
            continue  # inside a tag
        depth += _open_brackets(text[scanned : found.end()])
        scanned = found.end()
        if found.group()[0] in "\r\n" or (depth <= 0 and _ends_sentence(text, found)):
            _add_span(spans, text, start, found.end())
            start, depth = found.end(), 0
    _add_span(spans, text, start, len(text))
    return spans


def _add_span(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    if left < end:
        spans.append((left, start + len(piece.rstrip())))


def _open_brackets(text: str) -> int:
    return sum(map(text.count, "「『（(")) - sum(map(text.count, "」』）)"))


def _ends_sentence(text: str, found: re.Match[str]) -> bool:
    """Not an ASCII ! or ? inside a word or code."""
    following = text[found.end() : found.end() + 1]
    return not (found.group()[0] in "!?" and following.isascii() and following.strip())
