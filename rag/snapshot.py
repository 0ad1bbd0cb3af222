"""Stage 5: an index on disk. A snapshot is written aside, never changed, and taken up in one step.

Each stands in a folder of its own: manifest.json and the files whose SHA-256 it holds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from rag.dense import DenseIndex, FaissIndex
from rag.errors import (
    IndexCorruptError,
    IndexMismatchError,
    IndexMissingError,
    IndexWriteError,
    SnapshotError,
)
from rag.late_interaction import TokenIndex
from rag.lexical import BM25Index
from rag.snapshot_files import (
    read_bm25,
    read_chunks,
    read_documents,
    read_tokens,
    segment_name,
    sha256_of,
    sync,
    write_bm25,
    write_chunks,
    write_documents,
    write_text,
    write_tokens,
)
from rag.snapshot_folders import (
    aside_of,
    discard,
    folder_of,
    id_in_use,
    ids_standing_by,
    point_to,
    prune,
)
from rag.text import LATIN_WORD
from rag.token_segments import Segment
from rag.types import Chunk, Document

SCHEMA_VERSION = 3
CHECKING_THREADS = 2
_MANIFEST = "manifest.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a snapshot was made with; another recipe gives other vectors, chunks or terms."""

    schema_version: int
    embedder: str
    fingerprint: str
    dim: int
    chunking: str
    tokenizer: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What stands in a snapshot, what it was made with, and the checksum of every file."""

    snapshot_id: str
    recipe: Recipe
    corpus: str
    corpus_hash: str
    counts: Mapping[str, int]
    checksums: Mapping[str, str]
    built_at: str


@dataclass(frozen=True)
class Snapshot:
    """Everything retrieval needs, in memory; row i of every leg stands for `chunks[i]`."""

    manifest: Manifest
    documents: Mapping[str, Document]
    chunks: Sequence[Chunk]
    dense: DenseIndex
    words: BM25Index
    bigrams: BM25Index
    tokens: TokenIndex

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """Row of each chunk_id."""
        return {chunk.chunk_id: row for row, chunk in enumerate(self.chunks)}

    @cached_property
    def latin_words(self) -> tuple[str, ...]:
        """The Latin words of three letters or more among the word leg's terms."""
        return tuple(term for term in self.words.terms if LATIN_WORD.fullmatch(term))

    @cached_property
    def rows_by_tag(self) -> Mapping[str, npt.NDArray[np.int64]]:
        """Chunk rows of each tag, in order."""
        rows: dict[str, list[int]] = {}
        for row, chunk in enumerate(self.chunks):
            for tag in dict.fromkeys(chunk.tags):
                rows.setdefault(tag, []).append(row)
        return {tag: np.array(found, np.int64) for tag, found in rows.items()}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a snapshot's folder; raises an IndexMismatch- (schema) or -CorruptError."""
    with _reading(folder / _MANIFEST) as path:
        values = json.loads(path.read_text(encoding="utf-8"))
        recipe = values.pop("recipe")
        if recipe["schema_version"] != SCHEMA_VERSION:  # then anything may be named otherwise
            raise IndexMismatchError("schema_version", recipe["schema_version"], SCHEMA_VERSION)
        manifest = Manifest(recipe=Recipe(**recipe), **values)
        if manifest.snapshot_id != folder.name:
            raise ValueError(f"it is the manifest of {manifest.snapshot_id!r}")
    return manifest


def check_recipe(built: Recipe, current: Recipe) -> None:
    """Raises IndexMismatchError for the first thing in which the two differ."""
    for item in fields(Recipe):
        was, now = getattr(built, item.name), getattr(current, item.name)
        if was != now:
            raise IndexMismatchError(item.name, was, now)


def open_snapshot(index: Path, current: Recipe) -> Snapshot:
    """The snapshot in use, checked whole; raises an IndexMissing-, -Mismatch- or -CorruptError."""
    snapshot_id = id_in_use(index)
    try:
        return _open_folder(folder_of(index, snapshot_id), current)
    except IndexCorruptError:
        if id_in_use(index, default=snapshot_id) == snapshot_id:
            raise
    return open_snapshot(index, current)  # a writer has pruned it while it was opened


def open_last_good(index: Path, current: Recipe) -> Snapshot:
    """The snapshot in use or, where that is damaged, the newest one standing by that is whole.

    Says so in the log. Raises what `open_snapshot` does when none is whole.
    """
    try:
        return open_snapshot(index, current)
    except (IndexCorruptError, IndexMissingError) as error:
        for snapshot_id in ids_standing_by(index):
            try:
                snapshot = _open_folder(folder_of(index, snapshot_id), current)
            except SnapshotError:
                continue
            logger.warning("%s. The last good snapshot, %s, takes its place", error, snapshot_id)
            return snapshot
        raise


def _open_folder(folder: Path, current: Recipe) -> Snapshot:
    manifest = read_manifest(folder)
    check_recipe(manifest.recipe, current)
    with _reading(folder / _MANIFEST):
        checksums = dict(manifest.checksums)
    with ThreadPoolExecutor(CHECKING_THREADS) as pool:
        paths = [folder / name for name in checksums]
        list(pool.map(_check_file, paths, checksums.values()))
    with _reading(folder / "documents.jsonl") as path:
        documents = read_documents(path)
    with _reading(folder / "chunks.jsonl") as path:
        chunks = read_chunks(path, documents)
    with _reading(folder / "tokens.npz") as path:
        tokens, unit_ends = read_tokens(path, checksums)
    with _reading(folder / "dense.faiss") as path:
        dense = DenseIndex(FaissIndex.load(path), unit_ends)
    with _reading(folder / "words.npz") as path:
        words = read_bm25(path, len(chunks))
    with _reading(folder / "bigrams.npz") as path:
        bigrams = read_bm25(path, len(chunks))
    snapshot = Snapshot(manifest, documents, chunks, dense, words, bigrams, tokens)
    with _reading(folder / _MANIFEST):
        _check_manifest(snapshot)
    return snapshot


def write_snapshot(index: Path, snapshot: Snapshot, stand_by: str = "") -> Snapshot:
    """Writes aside, checksums, renames, then puts it in use; gives it with its manifest.

    Beside it only the snapshot `stand_by` is kept, which otherwise is the one that was in use.
    Raises IndexWriteError when the disk is full or read-only; what was in use stays so.
    """
    aside = aside_of(index, snapshot.manifest.snapshot_id)
    target = folder_of(index, snapshot.manifest.snapshot_id)
    try:
        before = stand_by or id_in_use(index, default="")
        aside.mkdir(parents=True, exist_ok=True)
        files = _writers(snapshot)
        for name, write in files.items():
            write(aside / name)
        known = {name: segment.checksum for name, segment in _segments(snapshot).items()}
        checksums = {name: known.get(name) or sha256_of(aside / name) for name in files}
        manifest = replace(snapshot.manifest, checksums=checksums)
        write_text(aside / _MANIFEST, json.dumps(asdict(manifest), ensure_ascii=False, indent=2))
        for path in [*aside.iterdir(), aside]:
            sync(path)
        aside.rename(target)
        sync(target.parent)
        point_to(index, manifest.snapshot_id)
    except OSError as error:
        discard(index, aside, target)
        raise IndexWriteError(
            f"the index could not be written to {index} ({error}); "
            "free some space or name another folder with --index DIR. The old index still stands"
        ) from error
    prune(index, keep={manifest.snapshot_id, before})
    tokens = snapshot.tokens.saved_in([target / name for name in _segments(snapshot)])
    return replace(snapshot, manifest=manifest, tokens=tokens)


def _writers(snapshot: Snapshot) -> dict[str, Callable[[Path], None]]:
    return {
        "documents.jsonl": lambda path: write_documents(path, snapshot.documents.values()),
        "chunks.jsonl": lambda path: write_chunks(path, snapshot.chunks),
        "dense.faiss": snapshot.dense.units.save,
        "words.npz": lambda path: write_bm25(path, snapshot.words),
        "bigrams.npz": lambda path: write_bm25(path, snapshot.bigrams),
        "tokens.npz": lambda path: write_tokens(path, snapshot.tokens, snapshot.dense.ends),
        **{name: segment.save for name, segment in _segments(snapshot).items()},
    }


def _segments(snapshot: Snapshot) -> dict[str, Segment]:
    """Those of the token index, by the names of their files."""
    return {segment_name(n): segment for n, segment in enumerate(snapshot.tokens.segments)}


@contextmanager
def _reading(path: Path) -> Iterator[Path]:
    """Whatever is wrong with a file of the index becomes one error that names it."""
    try:
        yield path
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RuntimeError,
        EOFError,
        BadZipFile,
    ) as error:
        reason = getattr(error, "strerror", None) or error
        raise IndexCorruptError(
            f"{path} cannot be read ({reason}); run `kotae index` to rebuild"
        ) from error


def _check_file(path: Path, checksum: str) -> None:
    with _reading(path):
        found = sha256_of(path)
    if found != checksum:
        raise IndexCorruptError(
            f"{path} was altered (SHA-256 {found[:12]}…, expected {str(checksum)[:12]}…); "
            "run `kotae index` to rebuild"
        )


def _check_manifest(snapshot: Snapshot) -> None:
    """The manifest itself has no checksum: what it says must fit the files."""
    manifest = snapshot.manifest
    if set(manifest.checksums) != set(_writers(snapshot)):
        raise ValueError(f"it lists the files {sorted(manifest.checksums)}")
    counts = {"documents": len(snapshot.documents), "chunks": len(snapshot.chunks)}
    if manifest.counts != counts:
        raise ValueError(f"it counts {manifest.counts}, the files hold {counts}")
