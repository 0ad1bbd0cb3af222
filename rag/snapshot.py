"""Stage 5: an index on disk. A snapshot is written aside, never changed, and taken up in one step.

index/CURRENT                 the id of the snapshot in use
index/snapshots/<id>/         manifest.json and the files whose SHA-256 it holds
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rag.dense import DenseIndex, FaissIndex
from rag.errors import IndexCorruptError, IndexMismatchError, IndexMissingError, IndexWriteError
from rag.late_interaction import TokenIndex
from rag.lexical import BM25Index
from rag.types import Chunk, Document

SCHEMA_VERSION = 1
KEPT_SNAPSHOTS = 2
TOKEN_ARRAYS = ("codes", "scales", "ids", "starts", "ends")
_CURRENT = "CURRENT"
_MANIFEST = "manifest.json"


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
    def rows_by_tag(self) -> Mapping[str, frozenset[int]]:
        """Chunk rows of each tag."""
        rows: dict[str, set[int]] = {}
        for row, chunk in enumerate(self.chunks):
            for tag in chunk.tags:
                rows.setdefault(tag, set()).add(row)
        return {tag: frozenset(found) for tag, found in rows.items()}


def read_manifest(index: Path) -> Manifest:
    """The manifest in use; raises IndexMissingError or IndexCorruptError."""
    folder = _current_folder(index)
    try:
        values = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        recipe = Recipe(**values.pop("recipe"))
        return Manifest(recipe=recipe, **values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise IndexCorruptError(
            f"{folder / _MANIFEST} is not readable ({error}); run `kotae index` to rebuild"
        ) from error


def check_recipe(built: Recipe, current: Recipe) -> None:
    """Raises IndexMismatchError for the first thing in which the two differ."""
    for item in fields(Recipe):
        was, now = getattr(built, item.name), getattr(current, item.name)
        if was != now:
            raise IndexMismatchError(item.name, was, now)


def open_snapshot(index: Path, current: Recipe) -> Snapshot:
    """The snapshot in use, checked whole; raises an IndexMissing-, -Mismatch- or -CorruptError."""
    manifest = read_manifest(index)
    check_recipe(manifest.recipe, current)
    folder = index / "snapshots" / manifest.snapshot_id
    for name, checksum in manifest.checksums.items():
        try:
            found = _sha256(folder / name)
        except OSError as error:
            raise IndexCorruptError(
                f"{folder / name} cannot be read ({error.strerror}); run `kotae index` to rebuild"
            ) from error
        if found != checksum:
            raise IndexCorruptError(
                f"{folder / name} was altered (SHA-256 {found[:12]}…, expected {checksum[:12]}…); "
                "run `kotae index` to rebuild"
            )
    documents = {d.doc_id: d for d in map(_document, _read_lines(folder / "documents.jsonl"))}
    chunks = [_chunk(v, documents) for v in _read_lines(folder / "chunks.jsonl")]
    with np.load(folder / "tokens.npz", allow_pickle=False) as arrays:
        tokens = TokenIndex(*(arrays[key] for key in TOKEN_ARRAYS))
        unit_ends = arrays["unit_ends"]
    return Snapshot(
        manifest,
        documents,
        chunks,
        DenseIndex(FaissIndex.load(folder / "dense.faiss"), unit_ends),
        _load_bm25(folder / "words.npz", len(chunks)),
        _load_bm25(folder / "bigrams.npz", len(chunks)),
        tokens,
    )


def write_snapshot(index: Path, snapshot: Snapshot) -> Snapshot:
    """Writes aside, checksums, renames, then points CURRENT at it; gives it with its manifest.

    Raises IndexWriteError when the disk is full or read-only; what was in use stays so.
    """
    snapshots = index / "snapshots"
    target = snapshots / snapshot.manifest.snapshot_id
    aside = snapshots / f".{snapshot.manifest.snapshot_id}.{os.getpid()}"
    try:
        aside.mkdir(parents=True, exist_ok=True)
        files = _writers(snapshot)
        for name, write in files.items():
            write(aside / name)
        checksums = {name: _sha256(aside / name) for name in files}
        manifest = replace(snapshot.manifest, checksums=checksums)
        _write_text(aside / _MANIFEST, json.dumps(asdict(manifest), ensure_ascii=False, indent=2))
        for path in aside.iterdir():
            _sync(path)
        if target.exists():  # the same notes with the same recipe: already there
            shutil.rmtree(target)
        aside.rename(target)
        _sync(snapshots)
        _point_to(index, manifest.snapshot_id)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise IndexWriteError(
            f"the index could not be written to {index} ({error}); "
            "free some space or name another folder with --index DIR. The old index still stands"
        ) from error
    _prune(index, keep=manifest.snapshot_id)
    return replace(snapshot, manifest=manifest)


def _writers(snapshot: Snapshot) -> dict[str, Callable[[Path], None]]:
    tokens = snapshot.tokens
    return {
        "documents.jsonl": lambda path: _write_lines(
            path, map(asdict, snapshot.documents.values())
        ),
        "chunks.jsonl": lambda path: _write_lines(path, map(_chunk_record, snapshot.chunks)),
        "dense.faiss": snapshot.dense.units.save,
        "words.npz": lambda path: _save_bm25(path, snapshot.words),
        "bigrams.npz": lambda path: _save_bm25(path, snapshot.bigrams),
        "tokens.npz": lambda path: np.savez(
            path,
            unit_ends=snapshot.dense.ends,
            **{name: getattr(tokens, name) for name in TOKEN_ARRAYS},
        ),
    }


def _current_folder(index: Path) -> Path:
    try:
        name = (index / _CURRENT).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise IndexMissingError(f"no index in {index}; run `kotae index` to build one") from error
    folder = index / "snapshots" / name
    if not name or "/" in name or not folder.is_dir():
        raise IndexCorruptError(
            f"{index / _CURRENT} names {name!r}, which is not there; run `kotae index` to rebuild"
        )
    return folder


def _point_to(index: Path, snapshot_id: str) -> None:
    aside = index / f".{_CURRENT}.{os.getpid()}"
    _write_text(aside, snapshot_id + "\n")
    _sync(aside)
    aside.replace(index / _CURRENT)
    _sync(index)


def _prune(index: Path, keep: str) -> None:
    """Removes all but the newest snapshots; a leftover of a killed indexer goes too."""
    folders = sorted(
        (path for path in (index / "snapshots").iterdir() if path.is_dir()),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    whole = [path for path in folders if not path.name.startswith(".") and path.name != keep]
    leftovers = [path for path in folders if path.name.startswith(".")]
    for path in whole[KEPT_SNAPSHOTS - 1 :] + leftovers:
        shutil.rmtree(path, ignore_errors=True)


def _document(values: dict[str, Any]) -> Document:
    for name in ("tags", "aliases"):
        values[name] = tuple(values[name])
    return Document(**values)


def _chunk_record(chunk: Chunk) -> dict[str, Any]:
    """Title, tags and text stand in the document already."""
    record = asdict(chunk)
    for name in ("title", "tags", "text"):
        del record[name]
    return record


def _chunk(values: dict[str, Any], documents: Mapping[str, Document]) -> Chunk:
    document = documents[values["doc_id"]]
    values["headings"] = tuple(values["headings"])
    text = document.text[values["start_index"] : values["end_index"]]
    return Chunk(title=document.title, tags=document.tags, text=text, **values)


def _save_bm25(path: Path, index: BM25Index) -> None:
    terms = "\n".join(index.terms).encode("utf-8", "surrogatepass")
    np.savez(
        path,
        terms=np.frombuffer(terms, dtype=np.uint8),
        starts=index.starts,
        rows=index.rows,
        weights=index.weights,
    )


def _load_bm25(path: Path, size: int) -> BM25Index:
    with np.load(path, allow_pickle=False) as arrays:
        joined = arrays["terms"].tobytes().decode("utf-8", "surrogatepass")
        terms = {term: number for number, term in enumerate(joined.split("\n"))} if joined else {}
        return BM25Index(terms, arrays["starts"], arrays["rows"], arrays["weights"], size)


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        return [json.loads(line) for line in file]


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _sync(path: Path) -> None:
    """The file or folder is on disk, not only in memory, before the next step."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
