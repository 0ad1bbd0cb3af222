"""Stage 5: notes → snapshot, embedding only the chunks that no earlier snapshot holds."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from rag.chunking import CHUNKING_VERSION, ChunkLimits, chunk_document
from rag.config import Settings
from rag.embedding_run import EmbeddingStore, Report, embed_in_slices
from rag.errors import IndexMissingError, IndexWriteError, SnapshotError
from rag.loading import Corpus, load_corpus
from rag.protocols import Embedder
from rag.qdrant_collection import published
from rag.renewal import renewed_legs
from rag.snapshot import (
    SCHEMA_VERSION,
    Manifest,
    Recipe,
    Snapshot,
    open_last_good,
    write_snapshot,
)
from rag.snapshot_folders import id_in_use
from rag.text import TEXT_VERSION
from rag.types import Chunk, Document

PARTIAL = ".partial"
"""Folder beside the snapshots: what an interrupted run had embedded."""

logger = logging.getLogger(__name__)


def recipe_of(settings: Settings, embedder: Embedder) -> Recipe:
    """What a snapshot made now would be made with."""
    sudachi = importlib.metadata.version("sudachipy")
    dictionary = importlib.metadata.version("sudachidict-core")
    limits = limits_of(settings, embedder)
    return Recipe(
        schema_version=SCHEMA_VERSION,
        embedder=embedder.name,
        fingerprint=embedder.fingerprint,
        dim=embedder.dim,
        chunking=f"v{CHUNKING_VERSION}:{limits.chunk_tokens}/{limits.merge_tokens}",
        tokenizer=f"v{TEXT_VERSION}:sudachipy {sudachi}:core {dictionary}",
    )


def limits_of(settings: Settings, embedder: Embedder) -> ChunkLimits:
    """Chunk sizes as configured, never over what the embedder reads."""
    longest = max(embedder.max_tokens - 8, 16)
    chunk_tokens = min(settings.chunk_tokens, longest)
    return ChunkLimits(chunk_tokens, min(settings.merge_tokens, chunk_tokens))


def fresh_snapshot(
    settings: Settings,
    embedder: Embedder,
    report: Report,
    rebuild: bool = False,
    known: Snapshot | None = None,
) -> tuple[Snapshot, Corpus]:
    """The snapshot of the notes as they are now: the one on disk, or a new one where they changed.

    A snapshot made with another recipe raises IndexMismatchError, a damaged one for which none
    stands by IndexCorruptError, unless `rebuild` says to make a new one from nothing, whatever is
    there. `known` need not be opened again if it is still the one in use.
    """
    report("reading", 0, 1)
    corpus = load_corpus(settings.corpus, settings.max_note_bytes)
    report("reading", 1, 1)
    recipe = recipe_of(settings, embedder)
    found = corpus_hash(corpus.documents)
    in_use = id_in_use(settings.index, default="")
    old = None if rebuild else _open_if_any(settings.index, recipe, known)
    if old is not None and _is_current(old, settings.index, found):
        return old, corpus
    try:
        with _only_indexer(settings.index):
            if not rebuild and id_in_use(settings.index, default="") != in_use:
                old = _usable(settings.index, recipe)  # another process was faster
                if old is not None and _is_current(old, settings.index, found):
                    return old, corpus
            store = EmbeddingStore(settings.index / PARTIAL, embedder.fingerprint)
            snapshot = build_snapshot(corpus.documents, settings, embedder, report, old, store)
            report("writing", 0, 1)
            published(snapshot, settings)
            good = _name(old) if old else ""
            snapshot = write_snapshot(settings.index, snapshot, stand_by=good)
            store.clear()
            report("writing", 1, 1)
    except IndexWriteError as error:
        if old is None or old.manifest.corpus_hash != found:
            raise
        logger.warning("%s; the damaged index stays, and %s answers", error, _name(old))
        return old, corpus
    return snapshot, corpus


def ensure_published(snapshot: Snapshot, settings: Settings) -> None:
    """As `published`, by one process at a time: a Qdrant that was emptied gets its index again."""
    if settings.qdrant_url is not None:
        with _only_indexer(settings.index):
            published(snapshot, settings)


def _is_current(snapshot: Snapshot, index: Path, found: str) -> bool:
    """Of the notes as they are now, and the one in use: else that one is damaged."""
    return snapshot.manifest.corpus_hash == found and id_in_use(index, "") == _name(snapshot)


def _name(snapshot: Snapshot) -> str:
    return snapshot.manifest.snapshot_id


def build_snapshot(
    documents: Sequence[Document],
    settings: Settings,
    embedder: Embedder,
    report: Report,
    old: Snapshot | None = None,
    store: EmbeddingStore | None = None,
) -> Snapshot:
    """A snapshot in memory; vectors of texts that `old` or `store` holds are taken from it."""
    recipe = recipe_of(settings, embedder)
    chunks = _chunk_all(documents, settings, embedder, report, old)
    embed = partial(embed_in_slices, embedder=embedder, report=report, store=store)
    dims = (embedder.dim, embedder.token_dim)
    legs = renewed_legs(chunks, embed, dims, old, report, store.scratch if store else None)
    found = corpus_hash(documents)
    identity = hashlib.sha256(f"{recipe}{found}{time.time_ns()}".encode()).hexdigest()[:8]
    now = datetime.now(UTC)
    manifest = Manifest(
        snapshot_id=f"{now:%Y%m%dT%H%M%S}-{identity}",
        recipe=recipe,
        corpus=str(settings.corpus),
        corpus_hash=found,
        counts={"documents": len(documents), "chunks": len(chunks)},
        checksums={},
        built_at=now.isoformat(timespec="seconds"),
    )
    return Snapshot(
        manifest,
        {document.doc_id: document for document in documents},
        chunks,
        *legs,
    )


def corpus_hash(documents: Sequence[Document]) -> str:
    """Changes when a note is added, removed, renamed or altered."""
    digest = hashlib.sha256()
    for document in sorted(documents, key=lambda document: document.doc_id):
        line = f"{document.doc_id}\0{document.title}\0{document.content_hash}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _chunk_all(
    documents: Sequence[Document],
    settings: Settings,
    embedder: Embedder,
    report: Report,
    old: Snapshot | None,
) -> list[Chunk]:
    """Chunks of all notes in order; those of an unchanged note are the old snapshot's."""
    limits = limits_of(settings, embedder)
    unchanged: dict[str, list[Chunk]] = {}
    for chunk in old.chunks if old else ():
        unchanged.setdefault(chunk.doc_id, []).append(chunk)
    chunks: list[Chunk] = []
    for number, document in enumerate(documents):
        before = old.documents.get(document.doc_id) if old else None
        if before is not None and _same(before, document):
            chunks.extend(unchanged.get(document.doc_id, []))
        else:
            chunks.extend(chunk_document(document, limits, embedder.count_tokens))
        report("chunking", number + 1, len(documents))
    return chunks


def _same(before: Document, now: Document) -> bool:
    return (before.content_hash, before.title, before.tags) == (
        now.content_hash,
        now.title,
        now.tags,
    )


def _open_if_any(index: Path, recipe: Recipe, known: Snapshot | None) -> Snapshot | None:
    """The last good snapshot, or None when there is none yet; other faults are raised."""
    if known is not None and id_in_use(index, "") == _name(known):
        return known
    try:
        return open_last_good(index, recipe)
    except IndexMissingError:
        return None


def _usable(index: Path, recipe: Recipe) -> Snapshot | None:
    """The last good snapshot when its vectors can be taken over, whatever is wrong otherwise."""
    try:
        return open_last_good(index, recipe)
    except SnapshotError:
        return None


@contextmanager
def _only_indexer(index: Path) -> Iterator[None]:
    """One process at a time writes an index; another waits for it.

    The system releases the lock of a killed one: its file alone locks nothing.
    """
    try:
        index.mkdir(parents=True, exist_ok=True)
        lock = FileLock(index / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            logger.warning("another process is indexing into %s; waiting until it is done", index)
            lock.acquire()
    except OSError as error:
        raise IndexWriteError(
            f"the index folder {index} cannot be written ({error.strerror}); "
            "name another one with --index DIR"
        ) from error
    try:
        yield
    finally:
        lock.release()
