"""Any bytes as a note: read, cut into chunks, made into terms and shown, or refused by name.

`fuzz_notes/` keeps what once broke the reader, or is most like what might; `make fuzz N=20000`
tries more changes of it than the tests do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.note_view import view_note
from rag.chunking import ChunkLimits, chunk_document, embedding_text, passage_of
from rag.errors import NoteError
from rag.loading import NOTE_SUFFIXES, front_matter_end, load_corpus, load_document
from rag.parsing import parse_document
from rag.text import bigrams, words
from rag.types import Chunk, Document
from tests.note_texts import is_blank
from tests.safe_html import faults_of_html

KEPT = sorted((Path(__file__).parent / "fuzz_notes").iterdir())
EXAMPLES = int(os.environ.get("KOTAE_TEST_EXAMPLES", "100"))
LIMITS = ChunkLimits(chunk_tokens=120, merge_tokens=40)
MAX_BYTES = 40_000
SHOWN_CHARS = 20_000
"""Longer notes are not rendered here: to do so a hundred times takes too long."""

MARKS = (
    "--- ``` ~~~ # > - 1. |---| [^1]: ]( <!-- "
    "<table><tr><td> </table> <script> <pre> &#x110000; &lt; title:"
)
SIGNS = "■ ・ 。 \u3000 \u200b \u202e か\u3099 \u2028 \0 \r \n\n \ufeff"
PIECES = (
    *(f"{mark}\n".encode() for mark in MARKS.split()),
    *(sign.encode() for sign in SIGNS.split(" ")),
    *(b"\xff\xfe", b"\x1b$B", b"\x1b(B", b"\x80", b"\xed\xa0\x80"),
)
"""What a note may be full of, or what may stand in the wrong place."""

EDITS = st.tuples(
    st.sampled_from(["insert", "delete", "flip", "repeat", "cut"]),
    st.floats(0, 1),
    st.integers(1, 60),
    st.sampled_from(PIECES) | st.binary(min_size=1, max_size=8),
)


def edited(raw: bytes, edit: tuple[str, float, int, bytes]) -> bytes:
    """The bytes after one change at a place of them."""
    kind, place, count, piece = edit
    at = int(place * len(raw))
    before, part, after = raw[:at], raw[at : at + count], raw[at + count :]
    middle = {
        "insert": piece + part,
        "delete": b"",
        "flip": bytes(byte ^ piece[0] for byte in part),
        "repeat": part * count,
    }
    changed = before if kind == "cut" else before + middle[kind] + after
    return changed[:MAX_BYTES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_what_was_kept_is_read_or_refused_by_name(path: Path) -> None:
    check_note(path)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(
    st.sampled_from(KEPT) | st.just(None),
    st.lists(EDITS, min_size=1, max_size=6),
    st.binary(max_size=300),
    st.sampled_from(sorted(NOTE_SUFFIXES)),
)
def test_any_bytes_are_read_or_refused_by_name(
    folder: Path,
    kept: Path | None,
    edits: list[tuple[str, float, int, bytes]],
    raw: bytes,
    suffix: str,
) -> None:
    if kept is not None:
        raw = kept.read_bytes()
        suffix = kept.suffix
    for edit in edits:
        raw = edited(raw, edit)
    path = folder / f"note{suffix}"
    path.write_bytes(raw)
    check_note(path)


def test_a_note_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    for path in KEPT:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    corpus = load_corpus(tmp_path, MAX_BYTES)
    assert len(corpus.documents) + len(corpus.problems) == len(KEPT)
    assert len(corpus.documents) > len(KEPT) * 0.8
    assert {"encoding_bom_only.md"} <= {problem.path for problem in corpus.problems}


def check_note(path: Path) -> None:
    """All that is done with a note, from its bytes to its page."""
    try:
        document = load_document(path, path.name, MAX_BYTES)
    except NoteError:
        return
    chunks = chunk_document(document, LIMITS, lambda texts: [len(text) for text in texts])
    check_chunks(document, chunks)
    for chunk in chunks[:20]:
        text = embedding_text(chunk)
        assert all(term and "\n" not in term for term in [*words(text), *bigrams(text)])
        assert passage_of(chunk).unit_texts()
    if len(document.text) <= SHOWN_CHARS:
        last = chunks[-1] if chunks else None
        span = (last.start_index, last.end_index) if last else (0, 0)
        view = view_note(document, parse_document(document), *span)
        assert faults_of_html(view.body) == []


def check_chunks(document: Document, chunks: Sequence[Chunk]) -> None:
    """Literal spans, in order; nothing but space lies between those of a Markdown note."""
    covered = front_matter_end(document.text)
    whole = not document.doc_id.endswith((".html", ".htm"))
    for chunk in chunks:
        assert document.text[chunk.start_index : chunk.end_index] == chunk.text
        assert chunk.start_index >= covered
        assert not whole or is_blank(document.text[covered : chunk.start_index])
        covered = chunk.end_index
    assert not whole or is_blank(document.text[covered:])
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)
