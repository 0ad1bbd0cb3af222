"""Stage 1: a folder of note files → Documents, each file decoded as its author saved it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml
from charset_normalizer import from_bytes

from rag.errors import EmptyCorpusError, NoteError
from rag.types import Document

NOTE_SUFFIXES = frozenset({".md", ".markdown", ".txt", ".html", ".htm"})
JAPANESE_ENCODINGS = ["utf_8", "cp932", "euc_jp", "iso2022_jp", "utf_16_le", "utf_16_be"]
MAX_BROKEN_SHARE = 0.02
"""A UTF-8 file with at most this share of unreadable characters is read, with a warning."""

_FRONT_MATTER = re.compile(
    r"\A\ufeff?---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.S | re.M
)
_H1 = re.compile(r"^#[ \t\u3000]+(.+?)[ \t#]*$", re.MULTILINE)
_HTML_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.S | re.I)
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf_8_sig"),
    (b"\xff\xfe\x00\x00", "utf_32"),
    (b"\x00\x00\xfe\xff", "utf_32"),
    (b"\xff\xfe", "utf_16"),
    (b"\xfe\xff", "utf_16"),
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """The notes that could be read, by doc_id, and what was wrong with the others."""

    documents: tuple[Document, ...]
    problems: tuple[NoteError, ...]


def load_corpus(folder: Path, max_note_bytes: int) -> Corpus:
    """Every note below `folder`; raises EmptyCorpusError when there is none that can be read."""
    if not folder.is_dir():
        raise EmptyCorpusError(f"no such folder of notes: {folder}; name yours with --corpus DIR")
    documents: dict[str, Document] = {}
    problems: list[NoteError] = []
    for path in note_paths(folder):
        # A file's name need not be UTF-8, but an id goes into pages, addresses and JSON.
        relative = os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")
        try:
            document = load_document(path, re.sub(r"\s", "_", relative), max_note_bytes)
            if document.doc_id in documents:
                raise NoteError(relative, f"another note has the same id {document.doc_id!r}")
            documents[document.doc_id] = document
        except NoteError as problem:
            problems.append(problem)
    if not documents:
        found = (
            "; ".join(map(str, problems[:3])) or f"looked for {', '.join(sorted(NOTE_SUFFIXES))}"
        )
        raise EmptyCorpusError(f"no readable note in {folder} ({found})")
    return Corpus(tuple(documents.values()), tuple(problems))


def note_paths(folder: Path) -> Iterator[Path]:
    """Note files below `folder` in a stable order.

    Left out are hidden files, linked folders, and links to what lies outside of `folder`.
    """
    root = folder.resolve()
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if path.suffix.lower() not in NOTE_SUFFIXES or name.startswith("."):
                continue
            if not path.is_symlink() or path.resolve().is_relative_to(root):
                yield path


def load_document(path: Path, doc_id: str, max_note_bytes: int) -> Document:
    """One note; raises NoteError naming the file when it cannot be read as text."""
    raw = _read_bytes(path, doc_id, max_note_bytes)
    text = decode_note(raw, doc_id)
    if not text.strip():
        raise NoteError(doc_id, "the file is empty")
    return make_document(doc_id, text, str(path))


def make_document(doc_id: str, text: str, source_path: str = "", title: str = "") -> Document:
    """A Document of `text`; title, tags and aliases come from its front matter where it has one."""
    front_matter = read_front_matter(text)
    return Document(
        doc_id=doc_id,
        title=title or str(front_matter.get("title") or "") or _find_title(doc_id, text),
        text=text,
        tags=_names(front_matter.get("tags")),
        aliases=_names(front_matter.get("aliases")),
        source_path=source_path,
        content_hash=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
    )


def decode_note(raw: bytes, doc_id: str) -> str:
    """Text of a note saved as UTF-8, UTF-16, Shift_JIS/CP932, EUC-JP or ISO-2022-JP."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return _decode(raw, encoding, doc_id)
    if b"\x1b$" not in raw:  # ISO-2022-JP is ASCII bytes, and so valid UTF-8
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            if "\0" not in text:
                return text
    decoded = list(_decodings(raw))
    if decoded and (best := max(decoded, key=_plausibility)) and _plausibility(best) > 0.3:
        return best
    text = raw.decode("utf-8", "replace")
    if "\0" not in text and text.count("\ufffd") <= MAX_BROKEN_SHARE * len(text):
        return text
    raise NoteError(doc_id, "not text in a known encoding (a binary file?); save it as UTF-8")


def _decodings(raw: bytes) -> Iterator[str]:
    """What the bytes may say: by charset-normalizer, and (short texts) by each strict decoding."""
    found = from_bytes(raw, cp_isolation=JAPANESE_ENCODINGS, threshold=0.4).best()
    if found is not None:
        yield str(found)
    for encoding in JAPANESE_ENCODINGS[1:]:
        with suppress(UnicodeDecodeError):
            yield raw.decode(encoding)


def _plausibility(text: str) -> float:
    """How much like Japanese it reads, at most 1: kana speak for it, half-width kana against."""
    sample = text[:5000]
    if not sample or "\0" in sample:
        return -1.0
    points = 0.0
    for character in sample:
        if "\u3000" <= character <= "\u30ff" or "\uff01" <= character <= "\uff5e":
            points += 1.0
        elif character.isascii() and (character.isprintable() or character.isspace()):
            points += 0.5
        elif "\u4e00" <= character <= "\u9fff" or "\u2010" <= character <= "\u33ff":
            points += 0.4
        elif "\uff61" <= character <= "\uff9f":
            points -= 0.2
        else:
            points -= 1.0
    return points / len(sample)


def front_matter_end(text: str) -> int:
    """Where the note's body begins: behind its front matter, or 0."""
    found = _FRONT_MATTER.match(text)
    return found.end() if found and read_front_matter(text) else 0


def read_front_matter(text: str) -> dict[str, object]:
    """The YAML mapping at the head of a note; {} when there is none or it is not one."""
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}
    try:
        values = yaml.safe_load(found.group(1))
    except (yaml.YAMLError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _read_bytes(path: Path, doc_id: str, max_note_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise NoteError(doc_id, "not a regular file (a broken link?)")
        size = path.stat().st_size
        if size > max_note_bytes:
            raise NoteError(
                doc_id,
                f"{size:,} bytes, over the limit of {max_note_bytes:,}; "
                "split the note or raise max_note_bytes in kotae.toml",
            )
        return path.read_bytes()
    except OSError as error:
        raise NoteError(doc_id, f"cannot be read ({error.strerror or error})") from error


def _decode(raw: bytes, encoding: str, doc_id: str) -> str:
    text = raw.decode(encoding, "replace")
    if text.count("\ufffd") > MAX_BROKEN_SHARE * max(len(text), 1):
        raise NoteError(doc_id, f"broken {encoding} text; save it again as UTF-8")
    return text


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = re.split(r"[,、]", value)
    if not isinstance(value, list):
        return ()
    return tuple(name for item in value if (name := str(item).strip()))


def _find_title(doc_id: str, text: str) -> str:
    if doc_id.lower().endswith((".html", ".htm")):
        found = _HTML_TITLE.search(text)
        markup = next((group for group in found.groups() if group), "") if found else ""
        title = re.sub(r"<[^>]+>|\s+", " ", markup).strip()
    else:
        headings = _H1.findall(text)
        title = headings[0].strip() if len(headings) == 1 else ""
    return title or re.sub(r"\.[^.]+$", "", doc_id.rsplit("/", 1)[-1])
