"""Stage 1: a folder of note files → Documents, with what their front matter says."""

from __future__ import annotations

import hashlib
import html
import itertools
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from rag.encodings import read_text
from rag.errors import EmptyCorpusError, NoteError
from rag.types import Document

NOTE_SUFFIXES = frozenset({".md", ".markdown", ".txt", ".html", ".htm"})
MAX_FRONT_MATTER_CHARS = 20_000
MAX_FRONT_MATTER_DEPTH = 50
"""YAML takes the cube of the depth of brackets: minutes for a few thousand."""
MAX_TITLE_CHARS = 120

_FRONT_MATTER = re.compile(
    r"\A\ufeff?---[ \t]*(?:\r\n|\r|\n)(.*?)(?<=[\r\n])(?:---|\.\.\.)[ \t]*(?:\r\n|\r|\n|\Z)", re.S
)
_FIELD = re.compile(r"^([A-Za-z_][\w-]{0,40})[ \t]*:(?:[ \t]+(.*))?$")
_FIELD_GOES_ON = re.compile(r"^(?:[ \t]+\S|- |#|$)")
_YAML_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""In C where PyYAML was built with libyaml: most of the time of reading notes is front matter."""
_BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}
_H1 = re.compile(r"^#[ \t\u3000]+(\S.*)$", re.MULTILINE)
_FENCED = re.compile(r"^[ \t]*(`{3,}+|~{3,}+)[^\n]*\n.*?^[ \t]*\1[ \t]*$", re.S | re.M)
_HTML_TITLE = re.compile(r"<title[^>]{0,200}>([^<]*)|<h1[^>]{0,200}>(.{0,2000}?)</h1>", re.S | re.I)

logger = logging.getLogger(__name__)


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
    for path in note_paths(folder, problems):
        relative = _readable_name(path.relative_to(folder).as_posix())
        try:
            _check_link(path, folder, relative)
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


def note_paths(folder: Path, problems: list[NoteError] | None = None) -> Iterator[Path]:
    """Note files below `folder` in a stable order; hidden files and linked folders are left out.

    A folder that cannot be listed is added to `problems`.
    """

    def report(error: OSError) -> None:
        if problems is not None:
            name = _readable_name(os.path.relpath(error.filename or folder, folder))
            problems.append(NoteError(name, f"folder cannot be read ({error.strerror})"))

    for parent, folders, files in os.walk(folder, onerror=report, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if path.suffix.lower() in NOTE_SUFFIXES and not name.startswith("."):
                yield path


def load_document(path: Path, doc_id: str, max_note_bytes: int) -> Document:
    """One note; raises NoteError naming the file when it cannot be read as text."""
    raw = _read_bytes(path, doc_id, max_note_bytes)
    text = decode_note(raw, doc_id)
    if not text.strip():
        raise NoteError(doc_id, "the file is empty")
    return make_document(doc_id, text, _readable_name(str(path)))


def make_document(doc_id: str, text: str, source_path: str = "", title: str = "") -> Document:
    """A Document of `text`; title, tags and aliases come from its front matter where it has one."""
    front_matter = read_front_matter(text)
    return Document(
        doc_id=doc_id,
        title=title or _scalar(front_matter.get("title")) or _find_title(doc_id, text),
        text=text,
        tags=_names(front_matter.get("tags") or front_matter.get("topics"), r"[,、\s]+"),
        aliases=_names(front_matter.get("aliases"), r"[,、]"),
        source_path=source_path,
        content_hash=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
    )


def decode_note(raw: bytes, doc_id: str) -> str:
    """Text of a note saved as UTF-8, UTF-16, Shift_JIS/CP932, EUC-JP or ISO-2022-JP."""
    reading = read_text(raw)
    if reading is None:
        raise NoteError(doc_id, "not text in a known encoding (a binary file?); save it as UTF-8")
    if reading.broken:
        logger.warning(
            "%s: %d characters are broken (read as %s)", doc_id, reading.broken, reading.encoding
        )
    return reading.text


def front_matter_end(text: str) -> int:
    """Where the note's body begins: behind its front matter, or 0."""
    found = _FRONT_MATTER.match(text[:MAX_FRONT_MATTER_CHARS])
    return found.end() if found and _parse_fields(found.group(1)) is not None else 0


def read_front_matter(text: str) -> dict[str, object]:
    """The YAML mapping at the head of a note; {} when there is none or it is not one."""
    found = _FRONT_MATTER.match(text[:MAX_FRONT_MATTER_CHARS])
    return (_parse_fields(found.group(1)) or {}) if found else {}


def _parse_fields(block: str) -> dict[str, object] | None:
    """The fields between two `---`; None when that is not front matter but text between rules.

    `title: a: b` is what people write and YAML refuses: such a block is read line by line.
    Values stay text: `title: 12:30` is no number, and `!!int ''` nothing to stumble over.
    """
    depths = itertools.accumulate(_BRACKETS.get(char, 0) for char in block)
    if max(depths, default=0) > MAX_FRONT_MATTER_DEPTH:
        return _parse_lines(block)
    try:
        values = yaml.load(block, Loader=_YAML_LOADER)
    except (yaml.YAMLError, ValueError, RecursionError):
        return _parse_lines(block)
    if values is None:
        return {}
    fields = isinstance(values, dict) and any(_FIELD.match(f"{key}:") for key in values)
    return values if fields else None


def _parse_lines(block: str) -> dict[str, object] | None:
    fields: dict[str, object] = {}
    for line in block.splitlines():
        if found := _FIELD.match(line):
            fields[found.group(1)] = (found.group(2) or "").strip().strip("\"'[]")
        elif not _FIELD_GOES_ON.match(line):
            return None
    return fields or None


def _check_link(path: Path, folder: Path, name: str) -> None:
    """Refuses a link to what lies outside of the folder: only its notes are to be shown."""
    if path.is_symlink() and path.exists():
        target = os.path.realpath(path)
        if not Path(target).is_relative_to(os.path.realpath(folder)):
            raise NoteError(name, "a link to a file outside of the folder of notes; copy it there")


def _readable_name(name: str) -> str:
    """A file name as text; one that is not UTF-8 most often was written by Windows."""
    raw = os.fsencode(name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        reading = read_text(raw)
    return reading.text if reading else raw.decode("utf-8", "replace")


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


def _scalar(value: object) -> str:
    """A field's one value as text; lists and mappings are no title."""
    if value is None or isinstance(value, list | dict | bool):
        return ""
    return " ".join(str(value).split())[:MAX_TITLE_CHARS]


def _names(value: object, separators: str) -> tuple[str, ...]:
    items = re.split(separators, value) if isinstance(value, str) else value
    if not isinstance(items, list):
        items = [items]
    names = (_scalar(item).lstrip("#").strip() for item in items)
    return tuple(dict.fromkeys(name for name in names if name))


def _find_title(doc_id: str, text: str) -> str:
    if doc_id.lower().endswith((".html", ".htm")):
        found = _HTML_TITLE.search(text)
        title = next((group for group in found.groups() if group), "") if found else ""
    else:
        body = re.sub("\r\n?", "\n", text[front_matter_end(text) :])
        body = _FENCED.sub("", body)
        headings = [line.rstrip("# \t\r") for line in _H1.findall(body)]
        title = headings[0] if len(headings) == 1 else ""
    title = " ".join(html.unescape(re.sub(r"<[^<>]{0,200}>", "", title)).split())
    return title[:MAX_TITLE_CHARS] or re.sub(r"\.[^.]+$", "", doc_id.rsplit("/", 1)[-1])
