"""Stage 1: the bytes of a note → its text, as its author saved it.

UTF-8 and ISO-2022-JP tell themselves. Between Shift_JIS, EUC-JP and UTF-16 without a mark the text
decides: the right reading is kana and common kanji, a wrong one rare kanji and half-width kana.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from charset_normalizer import from_bytes

MAX_BROKEN_SHARE = 0.02
"""A text with at most this share of unreadable characters is read, with a warning."""
MAX_NOISE_SHARE = 0.1
MIN_SCORE = 0.3
"""Mean score of a text in a language; noise is below 0."""
SAMPLE_CHARS = 20_000

_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf_8_sig"),
    (b"\xff\xfe\x00\x00", "utf_32"),
    (b"\x00\x00\xfe\xff", "utf_32"),
    (b"\xff\xfe", "utf_16"),
    (b"\xfe\xff", "utf_16"),
)
_ASCII = re.compile(r"[\t\n\r\f\x20-\x7e]+")
_CONTROLS = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_UNASSIGNED = str.maketrans(dict.fromkeys("\uf8f0\uf8f1\uf8f2\uf8f3", "\ufffd"))
"""What Python's cp932 makes of the four bytes that mean nothing."""
_JIS_ESCAPE = re.compile(rb"\x1b(\$@|\$B|\(B|\(J|\(I)")
_JIS_LETTERS = (b"$@", b"$B")
_EUC_PAIR = re.compile(rb"[\xa1-\xfe]{2}|\x8e[\xa1-\xdf]")
_SCORES = (
    (r"[ぁ-んァ-ヶー、。・「」『』（）！？：＝〜～→①-⑳]", 2.0),
    (r"[\uff61-\uff9f]", 0.35),
    (r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd\ufffe\uffff]", -5.0),
    (r"[\ud800-\udfff\ue000-\uf8ff\u0600-\u1cff\ua000-\ud7ff]", -3.0),
)
_CLASSES = tuple((re.compile(pattern), score) for pattern, score in _SCORES)
COMMON_KANJI_SCORE, RARE_KANJI_SCORE, OTHER_SCORE = 1.0, -0.6, 0.0


class Reading(NamedTuple):
    """A text, the encoding it was read in, and how many of its characters could not be."""

    text: str
    encoding: str
    broken: int


def read_text(raw: bytes) -> Reading | None:
    """The most likely reading; None for what is no text in a known encoding."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return _accept(_replaced(raw, encoding))
    if _JIS_ESCAPE.search(raw) and not re.search(rb"[\x80-\xff]", raw):
        return _accept(_replaced(_decode_jis(raw), "cp932", "iso2022_jp"))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if "\0" not in text:
            noise = len(_CONTROLS.findall(text))
            return Reading(text, "utf_8", 0) if noise <= MAX_NOISE_SHARE * len(text) else None
    return _guess(raw)


def _guess(raw: bytes) -> Reading | None:
    readings = [_replaced(raw, "utf_8"), _replaced(raw, "cp932"), _read_euc(raw)]
    if len(raw) % 2 == 0 or b"\0" in raw:
        readings += [_replaced(raw, "utf_16_le"), _replaced(raw, "utf_16_be")]
    likely = [found for found in map(_accept, readings) if found is not None]
    if likely:
        return max(likely, key=lambda reading: _score(reading.text))
    other = from_bytes(raw, threshold=0.1).best()  # not Japanese
    if other is None or _CLASSES[2][0].search(text := str(other)):
        return None
    return Reading(text, other.encoding, 0)


def _accept(reading: Reading) -> Reading | None:
    """The reading, if it is text in a language and hardly broken."""
    if reading.broken > MAX_BROKEN_SHARE * max(len(reading.text), 1) or "\0" in reading.text:
        return None
    return reading if _score(reading.text) >= MIN_SCORE else None


def _replaced(raw: bytes, encoding: str, name: str = "") -> Reading:
    """The text with U+FFFD for what means nothing."""
    text = raw.decode(encoding, "replace").translate(_UNASSIGNED)
    return Reading(text, name or encoding, text.count("\ufffd"))


def _read_euc(raw: bytes) -> Reading:
    """EUC-JP; ① ㈱ and their like, which the standard lacks, as Windows writes them."""
    try:
        return Reading(raw.decode("euc_jp"), "euc_jp", 0)
    except UnicodeDecodeError:
        unpaired = len(re.findall(rb"[\x80-\xff]", _EUC_PAIR.sub(b"", raw)))
        converted = _EUC_PAIR.sub(lambda found: _shift_jis(found.group()), raw)
        reading = _replaced(converted, "cp932", "euc_jp")
        return reading._replace(broken=reading.broken + unpaired)


def _shift_jis(pair: bytes) -> bytes:
    """The two bytes of a JIS character (7 or 8 bits) as Shift_JIS has it."""
    if pair[0] == 0x8E:  # half-width kana
        return pair[1:]
    row, cell = pair[0] & 0x7F, pair[1] & 0x7F
    first = ((row - 0x21) >> 1) + 0x81
    second = cell + 0x1F + (cell >= 0x60) if row & 1 else cell + 0x7E
    return bytes([first if first <= 0x9F else first + 0x40, second])


def _decode_jis(raw: bytes) -> bytes:
    """ISO-2022-JP, with half-width kana and the characters of Windows, as Shift_JIS has it."""
    pieces = _JIS_ESCAPE.split(raw)
    decoded = [pieces[0]]
    for escape, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        convert = _JIS_SETS.get(escape, bytes)
        decoded.extend(convert(part) for part in re.split(rb"([\r\n]+)", piece))
    return b"".join(decoded)


def _two_bytes(piece: bytes) -> bytes:
    if len(piece) % 2 or any(byte < 0x21 for byte in piece):
        return piece
    return b"".join(_shift_jis(piece[n : n + 2]) for n in range(0, len(piece), 2))


def _half_width(piece: bytes) -> bytes:
    return bytes(byte | 0x80 if byte >= 0x21 else byte for byte in piece)


_JIS_SETS: dict[bytes, Callable[[bytes], bytes]] = {
    b"$@": _two_bytes,
    b"$B": _two_bytes,
    b"(I": _half_width,
}


def _score(text: str) -> float:
    """Mean over the characters that are not ASCII; 1 for plain ASCII."""
    sample = _ASCII.sub("", text)[:SAMPLE_CHARS]
    if not sample:
        return 1.0
    total = 0.0
    for pattern, score in _CLASSES:
        rest = pattern.sub("", sample)
        total += score * (len(sample) - len(rest))
        sample = rest
    return _kanji_score(total, sample, len(_ASCII.sub("", text)[:SAMPLE_CHARS]))


def _kanji_score(total: float, rest: str, count: int) -> float:
    common = _common_kanji()
    for character in rest:
        if character in common:
            total += COMMON_KANJI_SCORE
        elif "\u3400" <= character <= "\u9fff" or character > "\uffff":
            total += RARE_KANJI_SCORE
        else:
            total += OTHER_SCORE
    return total / count


@functools.lru_cache(maxsize=1)
def _common_kanji() -> frozenset[str]:
    """JIS X 0208's first level, and its rows of signs."""
    rows = [*range(0xA1, 0xA9), *range(0xB0, 0xD0)]
    pairs = (bytes([row, cell]) for row in rows for cell in range(0xA1, 0xFF))
    return frozenset("".join(pair.decode("euc_jp", "ignore") for pair in pairs))
